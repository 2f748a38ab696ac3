/** Whether an application's user gets to its files, and making its folders its own. */
import { chmod, lchown, lstat, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface Needs {
  /** Files and folders that it reads and executes. */
  readonly readable: readonly string[];
  /** Folders that are made its own. */
  readonly own: readonly string[];
}

/** The first path that `user` needs and does not get to; undefined when all is well. Knows modes, no access lists. */
export async function outOfReach(user: number, { readable, own }: Needs): Promise<string | undefined> {
  const seen = new Set<string>();
  for (const path of [...readable, ...own]) {
    for (let folder = dirname(path); !seen.has(folder); folder = dirname(folder)) {
      seen.add(folder);
      if (!(await allows(folder, user, 0o1))) return folder;
    }
  }
  for (const path of readable) if (!(await allows(path, user, 0o5))) return path;
  return undefined;
}

/** `bits`: of rwx, as the last digit of a mode has them. What is not there hinders nobody. */
async function allows(path: string, user: number, bits: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return true;
  const shift = found.uid === user ? 6 : found.gid === user ? 3 : 0;
  return ((found.mode >> shift) & bits) === bits;
}

/** The folder and all in it belong to `user`, and nobody else looks in. Does nothing when the folder itself is its own already. */
export async function giveFolder(folder: string, user: number): Promise<void> {
  const { uid, mode } = await lstat(folder);
  if (uid !== user) await giveTree(folder, user);
  if ((mode & 0o777) !== 0o700) await chmod(folder, 0o700);
}

/** From within outwards: a folder that is its own says that all in it is. */
async function giveTree(path: string, user: number): Promise<void> {
  const found = await lstat(path);
  if (found.isDirectory()) {
    for (const name of await readdir(path)) await giveTree(join(path, name), user);
  } else if (found.nlink > 1) {
    // It may be a file from elsewhere, linked to here by the application to be given it.
    return;
  }
  if (found.uid !== user) await lchown(path, user, user);
}

/** The agent's again, so that the next `giveFolder` looks through all of it. What is in it stays as it is. */
export async function takeFolder(folder: string): Promise<void> {
  const own = process.getuid?.();
  if (own === 0 && (await lstat(folder)).uid !== own) await lchown(folder, own, process.getgid?.() ?? own);
}
