/** The bytes of a package, from its own and from blobs; nothing is put together that was not asked for. */
import { isLeonoreError, LeonoreError, platformKey, type Sha256 } from '@leonore/protocol';
import type { BlobStore, PackageRecord } from '../repositories/mod.ts';
import type { ByteCache } from './byte-cache.ts';

export interface PackageReader {
  /**
   * All that the range is read from is there, and was read in full once since the start.
   * @throws storage.corrupt, naming the component whose bytes are lost
   */
  ready(record: PackageRecord, range: { start: number; end: number }): Promise<void>;
  /** Bytes `start` to `end` (exclusive) of the package; whole without. Rejects with `storage.corrupt` when a blob is gone. */
  read(
    record: Pick<PackageRecord, 'summary' | 'parts' | 'own'>,
    range?: { start: number; end: number },
  ): AsyncIterable<Uint8Array>;
}

export function createPackageReader({ blobs, cache }: { blobs: BlobStore; cache: ByteCache }): PackageReader {
  return {
    async ready(record, { start, end }) {
      let at = 0;
      for (const part of record.parts) {
        const from = at;
        at += part.length;
        if (part.kind === 'own' || from >= end || at <= start || cache.has(part.sha256)) continue;
        await blobs.prove(part.sha256).catch((error: unknown) => {
          throw namingComponent(error, record, part.sha256);
        });
      }
    },
    async *read({ summary, parts, own }, { start, end } = { start: 0, end: summary.size }) {
      let at = 0;
      let ownAt = 0;
      for (const part of parts) {
        const from = Math.max(start - at, 0);
        const to = Math.min(end - at, part.length);
        at += part.length;
        const ownFrom = ownAt;
        if (part.kind === 'own') ownAt += part.length;
        if (from >= to) continue;
        if (part.kind === 'own') {
          yield own.subarray(ownFrom + from, ownFrom + to);
        } else if (cache.takes(part.sha256, part.length)) {
          const bytes = await cache.get(part.sha256, () => blobs.bytes(part.sha256));
          yield bytes.subarray(from, to);
        } else {
          yield* blobs.read(part.sha256, { start: from, end: to });
        }
      }
    },
  };
}

function namingComponent(error: unknown, { summary, manifest }: PackageRecord, sha256: Sha256): unknown {
  if (!isLeonoreError(error, 'storage.corrupt')) return error;
  const lost = manifest.components.find(({ segment }) => segment.sha256 === sha256);
  if (!lost) return error;
  const label = `${lost.name} ${lost.version} (${platformKey(manifest.gatewayClass.platform)})`;
  const what =
    error.details['problem'] === 'missing' ? 'missing from the store' : 'damaged in the store and not served';
  return new LeonoreError(
    'storage.corrupt',
    `the bytes of ${label} are ${what}, so package ${summary.id} cannot be sent; publish the same build of ${lost.name} again to bring them back`,
    { cause: error, details: { ...error.details, package: summary.id, component: label } },
  );
}
