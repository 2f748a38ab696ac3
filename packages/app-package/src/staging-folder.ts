/**
 * A fresh folder that files are unpacked to. Each file is made anew (O_EXCL), through no symbolic link (O_NOFOLLOW), and
 * gets its mode whatever the umask. Either it is sealed, or it is discarded whole.
 * Leaves to others: which paths are safe.
 */
import { createHash } from 'node:crypto';
import { chmod, constants, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LeonoreError, type Sha256 } from '@leonore/protocol';
import { hostile, quoted } from './archive-fault.ts';

export interface StagingFolder {
  /** Its parent must be there. */
  folder(path: string): Promise<void>;
  /** Writes the body to its end and tells its SHA-256. */
  file(path: string, mode: number, body: AsyncIterable<Uint8Array>): Promise<Sha256>;
  /** Fulfilled when everything in it is on the disk for good (if it is durable). */
  seal(): Promise<void>;
  /** Removes it with everything in it. */
  discard(): Promise<void>;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Makes `root`, and its parents where they are missing. `durable`: files and folders are fsynced. */
export async function createStagingFolder(root: string, options: { durable: boolean }): Promise<StagingFolder> {
  const { durable } = options;
  const folders = [root];
  await mkdir(dirname(root), { recursive: true });
  await mkdir(root, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
    throw new LeonoreError('config.invalid', `${root} exists already; a package is unpacked to a folder of its own`, {
      cause: error,
    });
  });

  return {
    async folder(path) {
      const target = join(root, path);
      await translated(path, async () => {
        await mkdir(target);
        await chmod(target, 0o755);
      });
      folders.push(target);
    },
    file: (path, mode, body) =>
      translated(path, async () => {
        const handle = await open(join(root, path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
        try {
          const hash = createHash('sha256');
          for await (const chunk of body) {
            hash.update(chunk);
            await handle.writeFile(chunk);
          }
          await handle.chmod(mode);
          if (durable) await handle.sync();
          return hash.digest('hex') as Sha256;
        } finally {
          await handle.close();
        }
      }),
    async seal() {
      if (!durable) return;
      for (const folder of [...folders.toReversed(), dirname(root)]) await syncFolder(folder);
    },
    discard: () => rm(root, { recursive: true, force: true }),
  };
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** System errors that say something about the entry or the gateway, in words. */
async function translated<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') throw hostile(quoted(path), 'is the same as another entry on this file system', error);
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new LeonoreError(
        'agent.disk-full',
        `there is no space left to unpack ${quoted(path)}; free some and try again`,
        {
          cause: error,
          details: { entry: path },
        },
      );
    }
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
