/**
 * What the agent must remember: what is installed, how its last task ended, and below what it must not fall. Replaced
 * whole and durably; heals from its second copy, and when both are lost from what lies in the version folders.
 * What is in memory counts: a disk that takes nothing lags behind until the next save.
 */
import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ddiFeedbackSchema, type InstalledComponent, versionSchema } from '@leonore/protocol';
import { z } from 'zod';
import { errorText, type Logger } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import { readDurable, writeDurable } from './durable-file.ts';
import type { AgentFolder } from './folder.ts';
import { type InstalledEntry, type InstalledSet, installedEntrySchema, installedSetSchema } from './installed.ts';

const stateSchema = z.object({
  schemaVersion: z.literal(1),
  installed: installedSetSchema,
  /** The last task that ended here: no lower sequence is ever taken again. */
  last: z
    .object({
      actionId: z.string(),
      sequence: z.int(),
      /** Sent again when the server asks again; null when it was canceled before it began. */
      report: ddiFeedbackSchema.nullable(),
    })
    .optional(),
  /** How often installing that task was begun, and unpacking it since then; in which steps the agent was stopped. */
  attempts: z
    .object({
      sequence: z.int(),
      installing: z.int().default(0),
      unpacking: z.int().default(0),
      interrupted: z.array(z.string()).optional(),
    })
    .optional(),
  /** By name: the version that was committed last. A component that is not there any more keeps it until it is removed by a task. */
  floors: z.record(z.string(), versionSchema).optional(),
  /** See time-floor.ts. Milliseconds since 1970. */
  timeFloor: z.number().optional(),
});
export type AgentState = z.infer<typeof stateSchema>;

export interface StateStore {
  readonly value: AgentState;
  /** Both copies were lost: what is not in a version folder that can be read is not known. */
  readonly rebuilt: boolean;
  /** Counts at once; fulfilled when it is on the disk. */
  save(change: Partial<AgentState>): Promise<void>;
}

export async function openState(folder: AgentFolder, logger: Logger): Promise<StateStore> {
  const found = await readDurable(folder.state, stateSchema);
  const onDisk = await readVersionFolders(folder);
  let value: AgentState = found?.value ?? { schemaVersion: 1, installed: {} };
  const names = Object.keys(onDisk);
  if (!found && names.length > 0) {
    logger.warn('state.json was lost; what is installed is read from the version folders', { names });
    const sequence = Math.max(...Object.values(onDisk).map((entry) => entry.sequence));
    value = { schemaVersion: 1, installed: onDisk, last: { actionId: String(sequence), sequence, report: null } };
  } else if (found?.healed) {
    logger.warn('state.json was damaged; its other copy is used');
  }
  const { there, lost } = await splitByDisk(folder, value.installed, onDisk);
  if (lost.length > 0) logger.warn('components are gone from the disk; they count as not installed', { names: lost });
  const floors = { ...value.floors, ...Object.fromEntries(Object.values(value.installed).map(versionByName)) };
  value = { ...value, installed: there, floors };

  let writing: Promise<unknown> = Promise.resolve();
  const save = (change: Partial<AgentState>): Promise<void> => {
    value = { ...value, ...change };
    const mine = writing.then(() => writeDurable(folder.state, value));
    writing = mine.catch(() => undefined);
    return mine;
  };
  if (lost.length > 0 || (!found && names.length > 0)) {
    await save({}).catch((error: unknown) => logger.error('state.json cannot be written', { error: errorText(error) }));
  }
  return {
    get value() {
      return value;
    },
    rebuilt: !found && names.length > 0,
    save,
  };
}

/**
 * The disk is the truth: what was taken away behind the agent's back is brought again by the server, and a version that
 * `current` leads to instead of one that is gone is the one that is there.
 */
async function splitByDisk(
  folder: AgentFolder,
  installed: InstalledSet,
  onDisk: InstalledSet,
): Promise<{ there: InstalledSet; lost: readonly string[] }> {
  const there: Record<string, InstalledEntry> = {};
  const lost: string[] = [];
  for (const [name, entry] of Object.entries(installed)) {
    const found = await stat(folder.version(name, entry.folder)).catch(() => undefined);
    const here = found?.isDirectory() ? entry : onDisk[name];
    if (here) there[name] = here;
    else lost.push(name);
  }
  return { there, lost };
}

function versionByName({ name, version }: InstalledEntry): [string, string] {
  return [name, version];
}

async function readVersionFolders(folder: AgentFolder): Promise<InstalledSet> {
  const installed: Record<string, InstalledEntry> = {};
  for (const name of await readdir(folder.components).catch(() => [])) {
    const current = await readlink(folder.current(name)).catch(() => undefined);
    if (current === undefined) continue;
    const entry = await readDurable(join(folder.version(name, current), 'component.json'), installedEntrySchema);
    if (entry?.value.name === name && entry.value.folder === current) installed[name] = entry.value;
  }
  return installed;
}

/** What is on disk and how it is doing, as profile and reports tell it. */
export function installedComponents(
  installed: InstalledSet,
  container: Pick<Container, 'status'>,
): InstalledComponent[] {
  return Object.values(installed).map(({ name, version, requested, run }) => ({
    name,
    version,
    requested,
    state: run ? 'stopped' : 'installed',
    ...(run ? container.status(name) : {}),
  }));
}
