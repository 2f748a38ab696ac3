/**
 * The invariant: what runs is one published version, whole, and nothing else of that gateway; nothing is left over; the
 * server has been told just that. Looks from outside, at files and processes; each fault that it finds is a sentence.
 */
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { findMarked } from '../container/mod.ts';
import type { Build } from './builds.ts';
import type { FaultyGateway } from './gateway.ts';

/** By name, in their order of need. */
export type Installed = ReadonlyMap<string, Build>;

/** Everything but what the server knows. Empty when it holds. */
export async function faultsOnDisk(
  gateway: FaultyGateway,
  installed: Installed,
  names: Iterable<string>,
): Promise<string[]> {
  const faults: string[] = [];
  for (const name of names) {
    const build = installed.get(name);
    faults.push(...(build ? await faultsOf(gateway, build) : await leftovers(gateway, name)));
  }
  for (const folder of ['downloads', 'staging']) {
    const left = await list(gateway.at(folder));
    if (left.length > 0) faults.push(`${folder}/ holds ${left.join(', ')}`);
  }
  const stray = (await list(gateway.root)).filter((name) => name === 'journal' || name.endsWith('.tmp'));
  if (stray.length > 0) faults.push(`left in the agent's folder: ${stray.join(', ')}`);
  const waiting = await list(gateway.at('outbox'));
  if (waiting.length > 0) faults.push(`outbox/ holds ${waiting.join(', ')}`);
  return faults;
}

async function faultsOf(gateway: FaultyGateway, build: Build): Promise<string[]> {
  const { name } = build;
  const faults: string[] = [];
  const component = gateway.at('components', name);
  const current = await readlink(join(component, 'current')).catch(() => undefined);
  if (current === undefined) return [`${name}: current is not there`];
  const there = (await list(component)).toSorted().join(', ');
  const wanted = [current, 'current'].toSorted().join(', ');
  if (there !== wanted) faults.push(`components/${name} holds ${there}; only ${wanted} should be there`);
  faults.push(...(await wrongFiles(join(component, current), build)));
  if (build.installPath !== undefined) {
    const link = gateway.at('rootfs', build.installPath);
    const leadsTo = await readlink(link).catch(() => undefined);
    if (leadsTo !== join(component, 'current', 'binary')) faults.push(`${build.installPath} leads to ${leadsTo}`);
    const beside = (await list(join(link, '..'))).filter((one) => one.includes('leonore-new'));
    if (beside.length > 0) faults.push(`left beside ${build.installPath}: ${beside.join(', ')}`);
  }
  return [...faults, ...(await wrongProcesses(gateway, join(component, current), build))];
}

/** What must hold on a disk that takes nothing, and so keeps links from being led back and folders from being deleted. */
export async function faultsInWhatRuns(gateway: FaultyGateway, installed: Installed): Promise<string[]> {
  const faults: string[] = [];
  for (const build of installed.values()) {
    const folder = gateway.at('components', build.name, build.version);
    faults.push(...(await wrongFiles(folder, build)), ...(await wrongProcesses(gateway, folder, build)));
  }
  return faults;
}

/** One where it is to run, from that folder, and no other. */
async function wrongProcesses(gateway: FaultyGateway, folder: string, build: Build): Promise<string[]> {
  const processes = await findMarked(gateway.at('data', build.name));
  const own = processes.filter((one) => one.script === 'start' && one.binaryDir === join(folder, 'binary'));
  if (processes.length === (build.runs ? 1 : 0) && own.length === processes.length) return [];
  const brief = processes.map((one) => `${one.script} ${one.version} (${one.pid})`).join(', ');
  return [`processes of ${build.name} ${build.version}: ${brief === '' ? 'none' : brief}`];
}

/** Byte for byte, and nothing beside. */
async function wrongFiles(folder: string, build: Build): Promise<string[]> {
  const faults: string[] = [];
  for (const [path, content] of build.files) {
    const found = await readFile(join(folder, path)).catch(() => undefined);
    if (!found?.equals(Buffer.from(content))) faults.push(`${build.token}: ${path} is not what was published`);
  }
  for (const part of ['binary', 'control']) {
    const entries = await readdir(join(folder, part), { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = relative(folder, join(entry.parentPath, entry.name));
      if (!entry.isDirectory() && !build.files.has(path)) faults.push(`${build.token}: ${path} was not published`);
    }
  }
  return faults;
}

async function leftovers(gateway: FaultyGateway, name: string): Promise<string[]> {
  const faults: string[] = [];
  for (const path of [`components/${name}`, `data/${name}`, `tmp/${name}`, `run/${name}.json`, `rootfs/opt/${name}`]) {
    if (await lstat(gateway.at(path)).catch(() => undefined)) faults.push(`${path} is left of ${name}`);
  }
  const processes = await findMarked(gateway.at('data', name));
  if (processes.length > 0) faults.push(`${processes.length} processes are left of ${name}`);
  return faults;
}

/** Nothing ran but what was published, and no application before its control/install had ended. */
export function faultsInScriptLog(text: string, published: ReadonlySet<string>): string[] {
  const faults: string[] = [];
  const ready = new Set<string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [what, token = ''] = line.split(' ');
    if (!published.has(token)) faults.push(`a script ran that nobody published: ${line}`);
    if (what === 'installed') ready.add(token);
    if (what === 'start' && !ready.has(token)) faults.push(`${token} was started before its control/install had ended`);
  }
  return faults;
}

/** What the last report of the task says, against what is there. */
export function faultsAtServer(gateway: FaultyGateway, actionId: string, installed: Installed): string[] {
  const faults: string[] = [];
  const brief = textOf([...installed.values()]);
  const ends = gateway.server.reports.filter(
    (one) => one.actionId === actionId && /closed|rejected/.test(one.report.status.execution),
  );
  const different = new Set(ends.map(({ report }) => JSON.stringify(report)));
  if (different.size !== 1) faults.push(`the end of task ${actionId} was told in ${different.size} ways`);
  const told = textOf(ends[0]?.report.installed);
  if (told !== brief) faults.push(`the report says that ${told} is there, it is ${brief}`);
  return faults;
}

/** Whether the profile has caught up; while there is news all the time the agent sends it at growing distances. */
export function faultsInProfile(gateway: FaultyGateway, installed: Installed): string[] {
  const profile = gateway.server.profiles.findLast(({ document }) => document['installed'] !== undefined);
  const told = textOf(profile?.document['installed']);
  const brief = textOf([...installed.values()]);
  return told === brief ? [] : [`the profile says that ${told} is there, it is ${brief}`];
}

function textOf(installed: unknown): string {
  const list = (installed ?? []) as readonly { name: string; version: string }[];
  return list
    .map(({ name, version }) => `${name} ${version}`)
    .toSorted()
    .join(', ');
}

function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
