/**
 * The blob store in a folder: DIR/aa/SHA256 for a blob whose digest begins with aa, DIR/tmp for files that are being
 * written, DIR/uploads for uploads (uploads.ts). A name is given only to a synced, whole file.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Sha256, sha256Schema } from '@leonore/protocol';
import type { BlobStore } from '../contract.ts';
import { ignoreMissing, removeOlder, writeWhole } from './durable.ts';
import { createUploads } from './uploads.ts';

export interface FileBlobOptions {
  readonly dir: string;
  /** Age at which a temporary file was left behind by a process that died; other nodes may share the folder. */
  readonly leftoverAgeMs?: number;
  readonly now?: () => number;
}

const READ_SIZE = 256 * 1024;

export async function openFileBlobs(options: FileBlobOptions): Promise<BlobStore> {
  const { dir, leftoverAgeMs = 60_000, now = Date.now } = options;
  const tmp = join(dir, 'tmp');
  const uploads = join(dir, 'uploads');
  await mkdir(tmp, { recursive: true, mode: 0o700 });
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  await removeOlder(tmp, now() - leftoverAgeMs);

  const blobFile = (sha256: Sha256) => join(dir, sha256.slice(0, 2), sha256);

  async function size(sha256: Sha256): Promise<number | undefined> {
    return (await stat(blobFile(sha256)).catch(ignoreMissing))?.size;
  }

  return {
    ...createUploads({ uploads, tmp, blobFile }),
    size,
    async put(bytes) {
      const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
      if ((await size(sha256)) === undefined) await writeWhole(blobFile(sha256), bytes, tmp);
      return sha256;
    },
    async *read(sha256, range) {
      const file = await open(blobFile(sha256), 'r').catch(ignoreMissing);
      if (!file) throw gone(sha256);
      try {
        const end = range?.end ?? (await file.stat()).size;
        for (let at = range?.start ?? 0; at < end; ) {
          // A buffer for each piece: the reader may keep it.
          const buffer = Buffer.allocUnsafeSlow(Math.min(READ_SIZE, end - at));
          const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
          if (bytesRead === 0) throw gone(sha256, `ends at byte ${at}, before byte ${end}`);
          at += bytesRead;
          yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
        }
      } finally {
        await file.close();
      }
    },
    async bytes(sha256) {
      const bytes = await readFile(blobFile(sha256)).catch(ignoreMissing);
      if (!bytes) throw gone(sha256);
      return bytes;
    },
    async remove(sha256) {
      if ((await size(sha256)) === undefined) return false;
      await rm(blobFile(sha256), { force: true });
      return true;
    },
    async *list() {
      for (const folder of await readdir(dir)) {
        if (!/^[0-9a-f]{2}$/.test(folder)) continue;
        for (const name of await readdir(join(dir, folder))) {
          const sha256 = sha256Schema.safeParse(name).data;
          const found = sha256 && (await size(sha256));
          if (sha256 && found !== undefined) yield { sha256, size: found };
        }
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function gone(sha256: Sha256, what = 'is not in the store any more'): LeonoreError {
  return new LeonoreError(
    'storage.corrupt',
    `the blob ${sha256} ${what}; restore the blob folder from a backup, or publish the artifact again`,
    { details: { sha256 } },
  );
}
