/**
 * Uploads that are resumed by name: DIR/uploads/SHA256.part holds what arrived, SHA256.size how much was announced.
 * What counts is the disk alone: the length of the part is the offset, and its digest, read back from the file, decides
 * whether it becomes a blob. So a torn part after a crash costs at worst another upload.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Sha256, sha256Schema } from '@leonore/protocol';
import type { BlobStore } from '../contract.ts';
import { explainDisk, ignoreMissing, moveInto, writeWhole } from './durable.ts';

type Uploads = Pick<BlobStore, 'openUpload' | 'uploadStatus' | 'appendUpload' | 'dropStaleUploads'>;

export interface UploadFolders {
  readonly uploads: string;
  readonly tmp: string;
  /** Where a blob lies. */
  readonly blobFile: (sha256: Sha256) => string;
}

export function createUploads({ uploads, tmp, blobFile }: UploadFolders): Uploads {
  /** Uploads that somebody writes to now: one writer each. */
  const busy = new Set<Sha256>();
  const partFile = (sha256: Sha256) => join(uploads, `${sha256}.part`);
  const sizeFile = (sha256: Sha256) => join(uploads, `${sha256}.size`);

  async function sizeOf(file: string): Promise<number | undefined> {
    return (await stat(file).catch(ignoreMissing))?.size;
  }

  /** What was announced; undefined when there is no such upload, or a crash left nothing readable of it. */
  async function announced(sha256: Sha256): Promise<number | undefined> {
    const text = await readFile(sizeFile(sha256), 'utf8').catch(ignoreMissing);
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  async function forget(sha256: Sha256): Promise<void> {
    await rm(partFile(sha256), { force: true });
    await rm(sizeFile(sha256), { force: true });
  }

  async function alone<T>(sha256: Sha256, work: () => Promise<T>): Promise<T> {
    if (busy.has(sha256)) {
      throw wrongOffset(
        'another client is sending these bytes right now; ask for the status in a moment and go on from there',
        (await sizeOf(partFile(sha256))) ?? 0,
      );
    }
    busy.add(sha256);
    try {
      return await work();
    } finally {
      busy.delete(sha256);
    }
  }

  /** All bytes are here: they become a blob, or go. */
  async function finish(sha256: Sha256): Promise<void> {
    const hash = createHash('sha256');
    const part = await open(partFile(sha256), 'r');
    try {
      for await (const bytes of part.createReadStream({ autoClose: false })) hash.update(bytes as Uint8Array);
    } finally {
      await part.close();
    }
    const found = hash.digest('hex');
    if (found !== sha256) {
      await forget(sha256);
      throw new LeonoreError(
        'upload.digest',
        `the uploaded bytes have SHA-256 ${found} where ${sha256} was announced; they were thrown away, upload the file again from the start`,
        { details: { announced: sha256, found } },
      );
    }
    await moveInto(partFile(sha256), blobFile(sha256));
    await rm(sizeFile(sha256), { force: true });
  }

  return {
    async openUpload(sha256, size) {
      const stored = await sizeOf(blobFile(sha256));
      if (stored !== undefined) return { offset: stored, complete: true };
      return alone(sha256, async () => {
        if ((await announced(sha256)) !== size) {
          await forget(sha256);
          await writeWhole(sizeFile(sha256), Buffer.from(String(size)), tmp);
        }
        const offset = (await sizeOf(partFile(sha256))) ?? 0;
        if (offset < size) return { offset, complete: false };
        // The last byte had come, and the process died before it could look at them.
        if (offset > size) await truncate(partFile(sha256), size);
        else if (size === 0) await writeFile(partFile(sha256), '', { flag: 'a', mode: 0o600 });
        await finish(sha256);
        return { offset: size, complete: true };
      });
    },
    async uploadStatus(sha256) {
      const size = await announced(sha256);
      const offset = (await sizeOf(partFile(sha256))) ?? 0;
      // Looked at last: an upload that ends meanwhile is found as a blob.
      const stored = await sizeOf(blobFile(sha256));
      if (stored !== undefined) return { size: stored, offset: stored, complete: true };
      return size === undefined ? undefined : { size, offset, complete: false };
    },
    async appendUpload(sha256, offset, bytes) {
      return alone(sha256, async () => {
        const stored = await sizeOf(blobFile(sha256));
        if (stored !== undefined) return { offset: stored, complete: true };
        const size = await announced(sha256);
        if (size === undefined) {
          throw new LeonoreError(
            'upload.unknown',
            `no upload of ${sha256} was begun here; open it with its size first`,
          );
        }
        const there = (await sizeOf(partFile(sha256))) ?? 0;
        if (offset !== there) throw wrongOffset(`this upload goes on at byte ${there}, not at ${offset}`, there);
        const end = await append(partFile(sha256), there, size, bytes).catch((error: unknown) => {
          throw explainDisk(error);
        });
        if (end < size) return { offset: end, complete: false };
        await finish(sha256);
        return { offset: size, complete: true };
      });
    },
    async dropStaleUploads(before) {
      const names = await readdir(uploads);
      let dropped = 0;
      for (const sha256 of new Set(names.map((name) => sha256Schema.safeParse(name.slice(0, 64)).data))) {
        if (sha256 === undefined || busy.has(sha256)) continue;
        const newest = Math.max(await changedAt(partFile(sha256)), await changedAt(sizeFile(sha256)));
        if (newest >= before) continue;
        await forget(sha256);
        dropped++;
      }
      return dropped;
    },
  };
}

async function changedAt(file: string): Promise<number> {
  return (await stat(file).catch(ignoreMissing))?.mtimeMs ?? 0;
}

/** Adds bytes behind what is there and syncs them, also when the source breaks off. The part's length afterwards. */
async function append(file: string, from: number, size: number, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const part = await open(file, 'a', 0o600);
  let end = from;
  try {
    for await (const some of bytes) {
      if (end + some.length > size) {
        throw new LeonoreError(
          'upload.too-large',
          `more bytes came than the ${size} that were announced; what came before them is kept`,
          { details: { size, offset: end } },
        );
      }
      await writeAll(part, some);
      end += some.length;
    }
    return end;
  } finally {
    await part.sync();
    await part.close();
  }
}

async function writeAll(part: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await part.write(bytes, done)).bytesWritten;
}

function wrongOffset(message: string, offset: number): LeonoreError {
  return new LeonoreError('upload.offset', message, { details: { offset } });
}
