/**
 * How much room there is: the store's own limit, and the disk under it. Bytes are summed once at the start and counted
 * afterwards. What an upload announces counts from its beginning, so that two cannot both have the last bytes. Whoever
 * wants to write asks first: nothing is begun that the disk cannot hold.
 */
import { statfs } from 'node:fs/promises';
import { formatBytes, LeonoreError } from '@leonore/protocol';
import type { DiskState, StoreUsage } from '../contract.ts';

export interface RoomOptions {
  /** Bytes of blobs and announced uploads together; absent = no limit. */
  readonly quota?: number | undefined;
  /** Bytes of the disk that are never taken. */
  readonly keepFree: number;
  /** Called when the disk's state changes. */
  readonly onDiskState: (disk: StoreUsage['disk']) => void;
  /** Bytes in all and free to us; the folder's file system when absent. */
  readonly disk?: (() => Promise<{ total: number; free: number }>) | undefined;
}

export interface Room {
  /** Takes room under a key until `leave`. @throws storage.quota, storage.full */
  announce(key: string, size: number): Promise<void>;
  /** What has its room already, and how much of it is written. */
  found(key: string, size: number, written: number): void;
  /** The rest is about to be written. @throws storage.full when the disk does not hold it any more */
  goOn(key: string, written: number, size: number): Promise<void>;
  leave(key: string): void;
  stored(size: number): void;
  removed(size: number): void;
  /** Rises with each blob that came or went. */
  readonly changes: number;
  /** What is really there, when somebody counted. */
  counted(blobs: { count: number; bytes: number }): void;
  usage(): Promise<StoreUsage>;
}

export function createRoom(dir: string, options: RoomOptions): Room {
  const { quota, keepFree, onDiskState } = options;
  const readDisk = options.disk ?? (() => spaceOf(dir));
  const announced = new Map<string, { size: number; written: number }>();
  let changes = 0;
  let blobs = { count: 0, bytes: 0 };
  let state: DiskState = 'ok';

  const sum = (amount: (one: { size: number; written: number }) => number) =>
    [...announced.values()].reduce((total, one) => total + amount(one), 0);

  async function disk(): Promise<StoreUsage['disk']> {
    const { total, free } = await readDisk();
    const now = { total, free, keepFree, state: stateOf(free, keepFree) };
    if (now.state !== state) {
      state = now.state;
      onDiskState(now);
    }
    return now;
  }

  function checkDisk(free: number, wanted: number, toCome: number): void {
    if (free - toCome - wanted >= keepFree) return;
    const others = toCome === 0 ? '' : `, ${formatBytes(toCome)} are still to come for others`;
    throw new LeonoreError(
      'storage.full',
      `the disk has ${formatBytes(free)} free, ${formatBytes(keepFree)} are kept free (LEONORE_KEEP_FREE or leonore node --keep-free)${others}, and this needs ${formatBytes(wanted)}; free some space there and try again`,
      { details: { free, keepFree, wanted } },
    );
  }

  function checkQuota(wanted: number): void {
    const coming = sum(({ size }) => size);
    if (quota === undefined || blobs.bytes + coming + wanted <= quota) return;
    const others = coming === 0 ? '' : `, ${formatBytes(coming)} are announced by uploads`;
    throw new LeonoreError(
      'storage.quota',
      `the store may hold ${formatBytes(quota)} (LEONORE_STORE_QUOTA or leonore node --store-quota): ${formatBytes(blobs.bytes)} are used${others}, and this needs ${formatBytes(wanted)}; raise the limit, or see with leonore store collect whether something can go`,
      { details: { limit: quota, used: blobs.bytes, announced: coming, wanted } },
    );
  }

  return {
    async announce(key, size) {
      const { free } = await disk();
      // No wait from here on: what is seen is what is taken.
      checkQuota(size);
      const toCome = sum((one) => one.size - one.written);
      checkDisk(free, size, toCome);
      announced.set(key, { size, written: 0 });
    },
    found(key, size, written) {
      announced.set(key, { size, written });
    },
    async goOn(key, written, size) {
      announced.set(key, { size, written });
      checkDisk((await disk()).free, size - written, 0);
    },
    leave(key) {
      announced.delete(key);
    },
    stored(size) {
      changes++;
      blobs = { count: blobs.count + 1, bytes: blobs.bytes + size };
    },
    removed(size) {
      changes++;
      blobs = { count: blobs.count - 1, bytes: blobs.bytes - size };
    },
    get changes() {
      return changes;
    },
    counted(found) {
      blobs = found;
    },
    async usage() {
      const uploads = { count: announced.size, bytes: sum(({ size }) => size) };
      return { blobs, uploads, ...(quota === undefined ? {} : { quota }), disk: await disk() };
    },
  };
}

function stateOf(free: number, keepFree: number): DiskState {
  if (free < keepFree) return 'full';
  return free < 2 * keepFree ? 'low' : 'ok';
}

async function spaceOf(dir: string): Promise<{ total: number; free: number }> {
  const { bsize, blocks, bavail } = await statfs(dir);
  return { total: blocks * bsize, free: bavail * bsize };
}
