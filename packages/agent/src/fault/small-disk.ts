/** A small disk of its own for one gateway: a tmpfs that can be filled, and made read-only. Takes root. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SmallDisk extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  free(): Promise<number>;
  /** Leaves that many bytes, or fewer than a page more. */
  fill(leave: number): Promise<void>;
  empty(): Promise<void>;
  /** Of `mount -o remount,ro` for scripts. */
  readonly readOnlyCommand: string;
  writable(): Promise<void>;
}

/** Undefined where no disk can be mounted. */
export async function smallDisk(bytes: number): Promise<SmallDisk | undefined> {
  const base = await mkdtemp(join(tmpdir(), 'leonore-disk-'));
  const path = join(base, 'disk');
  await mkdir(path);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0755`, 'tmpfs', path]);
  } catch {
    await rm(base, { recursive: true });
    return undefined;
  }
  const filler = join(path, 'filler');
  const free = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  };
  return {
    path,
    free,
    async fill(leave) {
      await rm(filler, { force: true });
      await writeFile(filler, Buffer.alloc(Math.max(0, (await free()) - leave)));
    },
    empty: () => rm(filler, { force: true }),
    readOnlyCommand: `mount -o remount,ro '${path}'`,
    async writable() {
      await run('mount', ['-o', 'remount,rw', path]);
    },
    async [Symbol.asyncDispose]() {
      await run('umount', ['-l', path]);
      await rm(base, { recursive: true });
    },
  };
}
