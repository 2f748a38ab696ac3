/**
 * Uploads that are resumed by name: DIR/uploads/SHA256.part holds what arrived, SHA256.size how much was announced.
 * What counts is the disk alone: the length of the part is the offset, and its digest, read back from the file, decides
 * whether it becomes a blob. So a torn part after a crash costs at worst another upload.
 */
import { type FileHandle, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Sha256, sha256Schema } from '@leonore/protocol';
import type { BlobStore } from '../contract.ts';
import type { Damages } from './damages.ts';
import { digestFile, type Pieces } from './digests.ts';
import { explainDisk, ignoreMissing, moveInto, writeWhole } from './durable.ts';
import type { Room } from './room.ts';

export interface Uploads extends Pick<BlobStore, 'openUpload' | 'uploadStatus' | 'appendUpload'> {
  /** Removes those that nobody continued since `before` (ms). Number removed. */
  dropStale(before: number): Promise<number>;
  /** Takes room for the uploads that an earlier process began. */
  announceKnown(): Promise<void>;
}

export interface UploadDeps {
  readonly uploads: string;
  readonly tmp: string;
  /** Where a blob lies. */
  readonly blobFile: (sha256: Sha256) => string;
  /** False when it turns out damaged, and is set aside then. */
  readonly isSound: (sha256: Sha256) => Promise<boolean>;
  readonly touch: (sha256: Sha256) => Promise<boolean>;
  readonly room: Room;
  readonly damages: Damages;
  readonly remember: (sha256: Sha256, pieces: Pieces) => void;
  readonly now: () => number;
}

export function createUploads(deps: UploadDeps): Uploads {
  const { uploads, tmp, blobFile, isSound, touch, room, damages, remember, now } = deps;
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
    room.leave(sha256);
  }

  /** Of all that have files here, half or whole. */
  async function known(): Promise<readonly Sha256[]> {
    const names = await readdir(uploads);
    const digests = names.map((name) => sha256Schema.safeParse(name.slice(0, 64)).data);
    return [...new Set(digests.filter((sha256) => sha256 !== undefined))];
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
    await using part = await open(partFile(sha256), 'r+');
    const { sha256: found, pieces } = await digestFile(part);
    if (found !== sha256) {
      await forget(sha256);
      throw new LeonoreError(
        'upload.digest',
        `the uploaded bytes have SHA-256 ${found} where ${sha256} was announced; they were thrown away, upload the file again from the start`,
        { details: { announced: sha256, found } },
      );
    }
    await part.utimes(now() / 1000, now() / 1000);
    await moveInto(partFile(sha256), blobFile(sha256));
    room.stored(pieces.size);
    await forget(sha256);
    remember(sha256, pieces);
    await damages.healed(sha256);
  }

  return {
    async announceKnown() {
      for (const sha256 of await known()) {
        const size = await announced(sha256);
        if (size !== undefined) room.found(sha256, size, (await sizeOf(partFile(sha256))) ?? 0);
      }
    },
    async openUpload(sha256, size) {
      const stored = await sizeOf(blobFile(sha256));
      // Whoever has the bytes heals a blob that rotted: it is set aside here, and wanted again.
      if (stored !== undefined && (await isSound(sha256)) && (await touch(sha256))) {
        return { offset: stored, complete: true };
      }
      return alone(sha256, async () => {
        if ((await announced(sha256)) !== size) {
          await forget(sha256);
          await room.announce(sha256, size);
          await writeWhole(sizeFile(sha256), Buffer.from(String(size)), tmp, now()).catch((error: unknown) => {
            room.leave(sha256);
            throw error;
          });
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
        await room.goOn(sha256, there, size);
        const end = await append(partFile(sha256), there, size, bytes).catch((error: unknown) => {
          throw explainDisk(error);
        });
        room.found(sha256, size, end);
        if (end < size) return { offset: end, complete: false };
        await finish(sha256);
        return { offset: size, complete: true };
      });
    },
    async dropStale(before) {
      let dropped = 0;
      for (const sha256 of await known()) {
        if (busy.has(sha256)) continue;
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
