/**
 * A package's bytes, or a delta's, for whoever asks for them block by block: only what is asked for is read. Who may have
 * them is asked once for some seconds, not for each kilobyte.
 */
import { COAP_FORMATS, type GatewayId, LeonoreError, type TaskId, taskIdSchema, type Tenant } from '@leonore/protocol';
import type { Deltas, PackageBuilder } from '../../package-builder/mod.ts';
import type { GatewayTasks } from '../contract.ts';
import { deltaOfFileName } from '../documents.ts';
import type { Content } from './answers.ts';

export interface PackageContents {
  /** @throws task.unknown, package.unknown, storage.corrupt */
  open(tenant: Tenant, id: GatewayId, task: string, fileName: string): Promise<Content>;
}

const KEPT_MS = 10_000;
const MAX_KEPT = 1000;

export function createPackageContents(deps: {
  tasks: () => Pick<GatewayTasks, 'download'>;
  builder: Pick<PackageBuilder, 'ready' | 'read'>;
  deltas: Pick<Deltas, 'open'>;
}): PackageContents {
  const kept = new Map<string, { readonly content: Content; readonly until: number }>();

  async function find(tenant: Tenant, id: GatewayId, task: TaskId, fileName: string): Promise<Content> {
    const sha256 = deltaOfFileName(fileName);
    const { package: record, hashes } = await deps
      .tasks()
      .download(tenant, id, task, (there) => fileName === there || sha256 !== undefined);
    if (sha256 !== undefined) {
      const delta = await deps.deltas.open(record, sha256);
      if (!delta)
        throw new LeonoreError('package.unknown', `no such delta (any more); ${record.summary.fileName} has it all`);
      return contentOf(delta.size, sha256, (range) => delta.read(range));
    }
    if (fileName !== record.summary.fileName)
      throw new LeonoreError('task.unknown', `task ${task} has ${record.summary.fileName} and no ${fileName}`);
    const { size } = record.summary;
    await deps.builder.ready(record, { start: 0, end: size });
    return contentOf(size, hashes.sha1, (range) => deps.builder.read(record, range));
  }

  return {
    async open(tenant, id, task, fileName) {
      const key = JSON.stringify([tenant, id, task, fileName]);
      const known = kept.get(key);
      if (known && known.until > performance.now()) return known.content;
      kept.delete(key);
      const number = /^\d{1,10}$/.test(task) ? taskIdSchema.safeParse(task).data : undefined;
      if (number === undefined) throw new LeonoreError('task.unknown', `there is no task ${task}`);
      const content = await find(tenant, id, number, fileName);
      kept.set(key, { content, until: performance.now() + KEPT_MS });
      const [oldest] = kept.keys();
      if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
      return content;
    },
  };
}

/** `digest`: hex, of the bytes. */
function contentOf(
  size: number,
  digest: string,
  read: (range: { start: number; end: number }) => AsyncIterable<Uint8Array>,
): Content {
  return {
    size,
    etag: Buffer.from(digest, 'hex').subarray(0, 8),
    format: COAP_FORMATS.bytes,
    read: async (range) => Buffer.concat(await Array.fromAsync(read(range))),
  };
}
