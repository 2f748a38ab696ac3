/**
 * A package on its way into `downloads/`: named by its header's digest, so what a former run has brought is gone on
 * with. As soon as its header is here it can be judged, before the rest is paid for.
 */
import { open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { AgentTask, PackageSink } from '../connectivity/mod.ts';
import { readJsonFile } from './durable-file.ts';

const metaSchema = z.object({ etag: z.string().optional() });

export interface PackageFile extends PackageSink, AsyncDisposable {
  readonly path: string;
  /** Bytes that were here when it was opened. */
  readonly resumedAt: number;
  /** Everything is on the disk for good. */
  sync(): Promise<void>;
}

/** `onHeader` is awaited once, when the header's bytes are here and before any more are taken; what it throws ends the download. */
export async function openPackageFile(
  dir: string,
  task: Pick<AgentTask, 'headerSha256' | 'headerSize' | 'size'>,
  onHeader: (path: string) => Promise<void>,
): Promise<PackageFile> {
  const base = packageFileName(task);
  const path = join(dir, `${base}.part`);
  const metaPath = join(dir, `${base}.json`);
  let etag = metaSchema.safeParse(await readJsonFile(metaPath)).data?.etag;
  let offset = (await stat(path).catch(() => undefined))?.size ?? 0;
  const handle = await open(path, offset > 0 ? 'r+' : 'w', 0o600);
  let judged = false;
  const judge = async (): Promise<void> => {
    if (judged || offset < task.headerSize) return;
    judged = true;
    await onHeader(path);
  };
  try {
    await judge();
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    path,
    resumedAt: offset,
    position: () => ({ offset, etag }),
    async restart(nextEtag) {
      if (offset > 0) await handle.truncate(0);
      offset = 0;
      judged = false;
      etag = nextEtag;
      await writeFile(metaPath, JSON.stringify({ etag }));
    },
    async append(chunk) {
      let written = 0;
      while (written < chunk.length) {
        const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, offset);
        written += bytesWritten;
        offset += bytesWritten;
      }
      await judge();
    },
    sync: () => handle.sync(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Deletes what was downloaded, but for what belongs to `keep`. */
export async function discardDownloads(dir: string, keep?: Pick<AgentTask, 'headerSha256' | 'size'>): Promise<void> {
  const kept = keep ? packageFileName(keep) : undefined;
  for (const name of await readdir(dir).catch(() => [])) {
    if (kept === undefined || !name.startsWith(`${kept}.`)) await rm(join(dir, name), { force: true, recursive: true });
  }
}

function packageFileName(task: Pick<AgentTask, 'headerSha256' | 'size'>): string {
  return `${task.headerSha256}-${task.size}`;
}
