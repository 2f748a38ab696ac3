/**
 * What lies on the disk is brought to what is remembered as installed, at each start and before each change: for all that
 * no journal tells of, because it was torn, a clean-up failed, or somebody had a hand in it.
 *
 *   installed       `current` and the install path lead to its version, whose folder says which it is; no other version lies there
 *   not installed   nothing of it runs, nothing leads to it, no version lies there; what it has stored stays
 *
 * What cannot be put in order is logged; the rest is done all the same.
 */
import { readdir, readlink, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, type Logger } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import { readDurable, writeDurable } from './durable-file.ts';
import type { AgentFolder } from './folder.ts';
import { type InstalledEntry, type InstalledSet, installedEntrySchema } from './installed.ts';
import { activate, removeHalfLink, unlinkPath } from './perform.ts';

export interface PutInOrderDeps {
  readonly folder: AgentFolder;
  readonly container: Pick<Container, 'stop'>;
  readonly logger: Logger;
}

/** `all`: what is remembered is all there is; otherwise what it does not name is left alone. */
export async function putInOrder(deps: PutInOrderDeps, installed: InstalledSet, all: boolean): Promise<void> {
  const { folder, logger } = deps;
  const names = new Set([...Object.keys(installed), ...(await readdir(folder.components).catch(() => []))]);
  for (const name of names) {
    const entry = installed[name];
    if (!entry && !all) continue;
    try {
      const done = entry ? await keepOnly(folder, entry) : await takeAway(deps, name);
      if (done.length > 0) logger.warn('put in order', { name, done });
    } catch (error) {
      logger.error('cannot put in order what is on the disk', { name, error: errorText(error) });
    }
  }
}

async function keepOnly(folder: AgentFolder, entry: InstalledEntry): Promise<string[]> {
  const { name } = entry;
  const done: string[] = [];
  const paths = entry.installPath === undefined ? [] : [entry.installPath];
  const links = [folder.current(name), ...paths.map((path) => join(folder.installRoot, path))];
  const leadTo = (): Promise<string> =>
    Promise.all(links.map((link) => readlink(link).catch(() => ''))).then((found) => found.join());
  const before = await leadTo();
  await activate(folder, name, entry, paths);
  if ((await leadTo()) !== before) done.push(`leads to ${entry.folder} again`);
  for (const link of links) await removeHalfLink(link);

  const file = join(folder.version(name, entry.folder), 'component.json');
  if (!(await readDurable(file, installedEntrySchema))) {
    await writeDurable(file, entry, 0o644);
    done.push('component.json written again');
  }
  for (const other of await readdir(folder.component(name))) {
    if (other === 'current' || other === entry.folder) continue;
    await unlinkPaths(folder, name, other, paths);
    await rm(join(folder.component(name), other), { recursive: true, force: true });
    done.push(`${other} deleted`);
  }
  return done;
}

async function takeAway({ folder, container }: PutInOrderDeps, name: string): Promise<string[]> {
  await container.stop(name, folder.data(name));
  for (const version of await readdir(folder.component(name))) {
    if (version !== 'current') await unlinkPaths(folder, name, version, []);
  }
  await rm(folder.component(name), { recursive: true, force: true });
  await rm(folder.tmpOf(name), { recursive: true, force: true });
  // Without `recursive`: only when nothing is in it.
  await rmdir(folder.data(name)).catch(() => undefined);
  return ['it is not installed: ended and deleted'];
}

/** The install path of a version that goes, as its folder tells it. */
async function unlinkPaths(folder: AgentFolder, name: string, version: string, keep: readonly string[]): Promise<void> {
  const found = await readDurable(join(folder.version(name, version), 'component.json'), installedEntrySchema);
  const path = found?.value.installPath;
  if (path !== undefined && !keep.includes(path)) await unlinkPath(folder, name, path);
}
