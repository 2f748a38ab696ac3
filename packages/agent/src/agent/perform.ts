/** How each step of a plan is done: with files, symlinks and the container. Decides nothing. */
import { lstat, mkdir, readlink, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';
import { type Application, applicationEnvironment, type Container, ensureFolder } from '../container/mod.ts';
import type { AgentTrial } from './agent-trial.ts';
import { syncFolder, writeDurable } from './durable-file.ts';
import type { AgentFolder } from './folder.ts';
import type { InstalledEntry, InstalledSet } from './installed.ts';
import { placeLayout } from './installed-tar.ts';
import type { Plan, Step } from './plan.ts';

const ASIDE = '.leonore-new';

export interface PerformDeps {
  readonly folder: AgentFolder;
  readonly container: Container;
  readonly gatewayId: string;
  readonly trial: Pick<AgentTrial, 'order'>;
}

/** `staged`: the folder that the package was unpacked to. */
export async function performStep(
  deps: PerformDeps,
  step: Step,
  plan: Plan,
  options: { staged?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { container, folder } = deps;
  switch (step.do) {
    case 'place':
      return place(folder, step.entry, options.staged);
    case 'stop':
      return container.stop(step.name, folder.data(step.name));
    case 'install':
      return container.script(await makeApplication(deps, step.entry, plan.after), 'install', options.signal);
    case 'activate':
      return activate(folder, step.name, step.entry, step.installPaths);
    case 'start':
      // What ran before is tried again and again, whatever keeps it from starting at once.
      return container.start(await makeApplication(deps, step.entry, plan[step.among]), {
        keepTrying: step.among === 'before',
      });
    case 'check':
      return container.check(await makeApplication(deps, step.entry, plan.after), options.signal);
    case 'hand-over':
      return deps.trial.order(step.entry?.folder ?? null);
    case 'uninstall':
      return container.script(await makeApplication(deps, step.entry, plan.before), 'uninstall', options.signal);
    case 'discard':
      return discard(folder, step.name, step.folder, step.data);
    default:
      return step satisfies never;
  }
}

/** The application as `set` has it and what it needs. Makes its data folder. */
export async function makeApplication(
  deps: Pick<PerformDeps, 'folder' | 'gatewayId'>,
  entry: InstalledEntry,
  set: InstalledSet,
): Promise<Application> {
  const { folder, gatewayId } = deps;
  const at = folder.version(entry.name, entry.folder);
  const binaryDir = join(at, 'binary');
  const dataDir = folder.data(entry.name);
  await ensureFolder(dataDir);
  const needs = await Promise.all(
    entry.after.flatMap((name) => {
      const need = set[name];
      if (!need) return [];
      const needDir = join(folder.version(need.name, need.folder), 'binary');
      return [isFolder(join(needDir, 'bin')).then((hasBin) => ({ name, binaryDir: needDir, hasBin }))];
    }),
  );
  return {
    name: entry.name,
    version: entry.version,
    binaryDir,
    controlDir: join(at, 'control'),
    dataDir,
    tmpDir: folder.tmpOf(entry.name),
    needs: needs.map((need) => need.binaryDir),
    logFile: folder.log(entry.name),
    ...(entry.run ? { run: entry.run } : {}),
    env: applicationEnvironment({
      name: entry.name,
      version: entry.version,
      gatewayId,
      binaryDir,
      controlDir: join(at, 'control'),
      dataDir,
      installPath: entry.installPath === undefined ? binaryDir : join(folder.installRoot, entry.installPath),
      tmpDir: folder.tmpOf(entry.name),
      previousVersion: entry.previousVersion,
      needs,
      run: entry.run,
    }),
  };
}

async function place(folder: AgentFolder, entry: InstalledEntry, staged: string | undefined): Promise<void> {
  if (staged === undefined) throw new Error('nothing is unpacked');
  const target = folder.version(entry.name, entry.folder);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const part of ['binary', 'control']) {
    const source = join(staged, part, entry.name);
    if (await isFolder(source)) await rename(source, join(target, part));
    else await mkdir(join(target, part));
  }
  await placeLayout(staged, entry.name, target);
  await writeDurable(join(target, 'component.json'), entry, 0o644);
  await syncFolder(folder.component(entry.name));
  await syncFolder(folder.components);
}

/** `current` and the install paths lead to `entry`, or nowhere. */
export async function activate(
  folder: AgentFolder,
  name: string,
  entry: InstalledEntry | null,
  installPaths: readonly string[],
): Promise<void> {
  const current = folder.current(name);
  const target = join(current, 'binary');
  if (entry) await replaceLink(current, entry.folder);
  for (const installPath of installPaths) {
    const link = join(folder.installRoot, installPath);
    if (entry?.installPath === installPath) {
      await refuseForeign(folder, link);
      await ensureFolder(dirname(link));
      await replaceLink(link, target);
    } else {
      await unlinkPath(folder, name, installPath);
    }
  }
  if (entry) return;
  await rm(current, { force: true });
  await removeHalfLink(current);
}

/** Only where it leads to that component. */
export async function unlinkPath(folder: AgentFolder, name: string, installPath: string): Promise<void> {
  const link = join(folder.installRoot, installPath);
  const leadsTo = await readlink(link).catch(() => undefined);
  if (leadsTo === join(folder.current(name), 'binary')) await rm(link, { force: true });
  await removeHalfLink(link);
}

async function replaceLink(path: string, target: string): Promise<void> {
  if ((await readlink(path).catch(() => undefined)) === target) return;
  const aside = `${path}${ASIDE}`;
  await rm(aside, { force: true });
  await symlink(target, aside);
  await rename(aside, path);
  await syncFolder(dirname(path));
}

/** Left by one that was cut off. */
export function removeHalfLink(path: string): Promise<void> {
  return rm(`${path}${ASIDE}`, { force: true });
}

/** An install path that is there already and is not one of ours is somebody else's. */
async function refuseForeign(folder: AgentFolder, link: string): Promise<void> {
  const there = await lstat(link).catch(() => undefined);
  if (!there) return;
  const leadsTo = there.isSymbolicLink() ? await readlink(link) : '';
  if (leadsTo.startsWith(`${folder.components}/`)) return;
  throw new LeonoreError(
    'agent.unsupported',
    `${link} is there already and was not made by LEONORE; move it away, or let the artifact use another installPath`,
  );
}

async function discard(folder: AgentFolder, name: string, version: string, data: boolean): Promise<void> {
  await rm(folder.version(name, version), { recursive: true, force: true });
  if (data) {
    await rm(folder.data(name), { recursive: true, force: true });
    await rm(folder.tmpOf(name), { recursive: true, force: true });
    await rm(folder.log(name), { force: true });
    await rm(`${folder.log(name)}.1`, { force: true });
    await rmdir(folder.component(name)).catch(() => undefined);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
