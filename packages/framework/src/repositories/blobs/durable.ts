/** Writing that outlives a power cut: a file is synced before it gets its name, then the folder that holds the name. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';

/** Writes bytes under a temporary name in `tmp`, then moves them to `file`, which is never seen half written. `at` (ms) is when it was changed. */
export async function writeWhole(file: string, bytes: Uint8Array, tmp: string, at: number): Promise<void> {
  const temporary = join(tmp, randomUUID());
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.utimes(at / 1000, at / 1000);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await moveInto(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw explainDisk(error);
  }
}

/** Moves a synced file to its name and makes the name durable. Makes the folder when it is missing. */
export async function moveInto(from: string, to: string): Promise<void> {
  const folder = dirname(to);
  if (await mkdir(folder, { recursive: true, mode: 0o700 })) await syncFolder(dirname(folder));
  await rename(from, to);
  await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes files that nobody changed since `before` (ms): what a process left behind that died. Number removed. */
export async function removeOlder(folder: string, before: number): Promise<number> {
  let removed = 0;
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    const found = await stat(file).catch(ignoreMissing);
    if (!found || found.mtimeMs >= before) continue;
    await rm(file, { force: true });
    removed++;
  }
  return removed;
}

/** Renames; false when there is nothing of that name any more. */
export function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    (error: unknown) => ignoreMissing(error) ?? false,
  );
}

export function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

/** A full disk or a used-up quota, said so. */
export function explainDisk(error: unknown): unknown {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) {
    return new LeonoreError(
      'storage.full',
      'the disk that holds the packages is full; free some space there and try again, what arrived is kept',
      { cause: error },
    );
  }
  return error;
}
