/**
 * The blob store in a folder: DIR/aa/SHA256 for a blob whose digest begins with aa, DIR/tmp for files that are being
 * written, DIR/uploads for uploads (uploads.ts), DIR/damaged for what rotted (damages.ts). A name is given only to a
 * synced, whole file; what is read under it is held to its digest (verified-reads.ts).
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isLeonoreError, type Sha256, sha256Schema } from '@leonore/protocol';
import type { BlobDamage, BlobStore } from '../contract.ts';
import { openDamages } from './damages.ts';
import { ignoreMissing, moved, removeOlder, writeWhole } from './durable.ts';
import { createRoom, type RoomOptions } from './room.ts';
import { createUploads } from './uploads.ts';
import { createVerifiedReads } from './verified-reads.ts';

export interface FileBlobOptions extends Partial<RoomOptions> {
  readonly dir: string;
  /** Age at which a temporary file was left behind by a process that died; other nodes may share the folder. */
  readonly leftoverAgeMs?: number;
  readonly now?: () => number;
  /** Called once for each blob when it is found damaged or missing. */
  readonly onDamage?: (damage: BlobDamage) => void;
  /** Memory for what proves ranges of blobs; 8 MiB do for 64 GiB of blobs. */
  readonly maxDigestBytes?: number;
}

export async function openFileBlobs(options: FileBlobOptions): Promise<BlobStore> {
  const { dir, leftoverAgeMs = 60_000, now = Date.now, onDamage = () => undefined } = options;
  const { keepFree = 0, onDiskState = () => undefined, maxDigestBytes = 8 * 2 ** 20 } = options;
  const tmp = join(dir, 'tmp');
  const uploads = join(dir, 'uploads');
  await mkdir(tmp, { recursive: true, mode: 0o700 });
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  await removeOlder(tmp, now() - leftoverAgeMs);

  const blobFile = (sha256: Sha256) => join(dir, sha256.slice(0, 2), sha256);
  const room = createRoom(dir, { quota: options.quota, disk: options.disk, keepFree, onDiskState });
  const damages = await openDamages({
    folder: join(dir, 'damaged'),
    blobFile,
    now,
    onDamage,
    onAside: room.removed,
  });
  const reads = createVerifiedReads({ blobFile, damages, maxDigestBytes });
  const putting = new Map<Sha256, Promise<void>>();

  async function find(sha256: Sha256): Promise<{ size: number; touchedAt: number } | undefined> {
    const found = await stat(blobFile(sha256)).catch(ignoreMissing);
    return found && { size: found.size, touchedAt: found.mtimeMs };
  }

  async function touch(sha256: Sha256): Promise<boolean> {
    const at = now() / 1000;
    return utimes(blobFile(sha256), at, at).then(
      () => true,
      (error: unknown) => ignoreMissing(error) ?? false,
    );
  }

  async function write(sha256: Sha256, bytes: Uint8Array): Promise<void> {
    if (await touch(sha256)) return;
    const key = `put ${sha256}`;
    await room.announce(key, bytes.length);
    try {
      await writeWhole(blobFile(sha256), bytes, tmp, now());
      room.stored(bytes.length);
    } finally {
      room.leave(key);
    }
    await damages.healed(sha256);
  }

  async function* list(): AsyncGenerator<{ sha256: Sha256; size: number; touchedAt: number }> {
    for (const folder of await readdir(dir)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(dir, folder))) {
        const sha256 = sha256Schema.safeParse(name).data;
        const found = sha256 && (await find(sha256));
        if (sha256 && found) yield { sha256, ...found };
      }
    }
  }

  async function count(): Promise<void> {
    const { changes } = room;
    const blobs = { count: 0, bytes: 0 };
    for await (const { size } of list()) {
      blobs.count++;
      blobs.bytes += size;
    }
    // What came or went meanwhile may be counted or not: the next time will do.
    if (room.changes === changes) room.counted(blobs);
  }

  async function isSound(sha256: Sha256): Promise<boolean> {
    return reads.verify(sha256).then(
      () => true,
      (error: unknown) => {
        if (isLeonoreError(error, 'storage.corrupt')) return false;
        throw error;
      },
    );
  }

  const { remember } = reads;
  const uploading = createUploads({ uploads, tmp, blobFile, room, now, touch, isSound, remember, damages });
  await uploading.announceKnown();
  await count();

  return {
    openUpload: uploading.openUpload,
    uploadStatus: uploading.uploadStatus,
    appendUpload: uploading.appendUpload,
    async tidy(before) {
      await removeOlder(tmp, Math.min(before, now() - leftoverAgeMs));
      const dropped = await uploading.dropStale(before);
      await count();
      return dropped;
    },
    size: async (sha256) => (await find(sha256))?.size,
    async put(bytes) {
      const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
      const writing = putting.get(sha256) ?? write(sha256, bytes).finally(() => putting.delete(sha256));
      putting.set(sha256, writing);
      await writing;
      return sha256;
    },
    read: reads.read,
    bytes: reads.bytes,
    prove: reads.prove,
    verify: reads.verify,
    touch,
    async remove(sha256, before = Infinity) {
      const found = await find(sha256);
      if (!found || found.touchedAt >= before) return false;
      // Out of reach first, then looked at again: another process may have touched it in between.
      const aside = join(tmp, randomUUID());
      if (!(await moved(blobFile(sha256), aside))) return false;
      if ((await stat(aside)).mtimeMs >= before) {
        await rename(aside, blobFile(sha256));
        return false;
      }
      await rm(aside);
      room.removed(found.size);
      return true;
    },
    list,
    damages: damages.list,
    forgetDamage: damages.healed,
    usage: room.usage,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
