/**
 * What the agent must remember: what is installed, and how its last task ended. Replaced whole and durably; heals from
 * its previous copy, and when both are lost from what lies in the version folders.
 */
import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ddiFeedbackSchema, type InstalledComponent } from '@leonore/protocol';
import { z } from 'zod';
import type { Logger } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import { readDurable, readJsonFile, writeDurable } from './durable-file.ts';
import type { AgentFolder } from './folder.ts';
import { type InstalledSet, installedEntrySchema, installedSetSchema } from './installed.ts';

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
  /** How often installing that task was begun. */
  attempts: z.object({ sequence: z.int(), count: z.int() }).optional(),
});
export type AgentState = z.infer<typeof stateSchema>;

export interface StateStore {
  readonly value: AgentState;
  /** Fulfilled when it is on the disk. */
  save(change: Partial<AgentState>): Promise<void>;
}

export async function openState(folder: AgentFolder, logger: Logger): Promise<StateStore> {
  const found = await readDurable(folder.state, stateSchema);
  let value: AgentState = found?.value ?? { schemaVersion: 1, installed: {} };
  if (!found) {
    const installed = await readVersionFolders(folder);
    const names = Object.keys(installed);
    if (names.length > 0) {
      logger.warn('state.json was lost; what is installed is read from the version folders', { names });
      const sequence = Math.max(...Object.values(installed).map((entry) => entry.sequence));
      value = { schemaVersion: 1, installed, last: { actionId: String(sequence), sequence, report: null } };
      await writeDurable(folder.state, value);
    }
  } else if (found.healed) {
    logger.warn('state.json was damaged; its previous copy is used');
    await writeDurable(folder.state, value);
  }
  const lost = await missingFromDisk(folder, value.installed);
  if (lost.length > 0) {
    logger.warn('components are gone from the disk; they count as not installed', { names: lost });
    value = {
      ...value,
      installed: Object.fromEntries(Object.entries(value.installed).filter(([name]) => !lost.includes(name))),
    };
    await writeDurable(folder.state, value);
  }
  return {
    get value() {
      return value;
    },
    async save(change) {
      const next = { ...value, ...change };
      await writeDurable(folder.state, next);
      value = next;
    },
  };
}

/** The disk is the truth: what was taken away behind the agent's back is brought again by the server. */
async function missingFromDisk(folder: AgentFolder, installed: InstalledSet): Promise<readonly string[]> {
  const lost: string[] = [];
  for (const [name, { version }] of Object.entries(installed)) {
    const there = await stat(folder.version(name, version)).catch(() => undefined);
    if (!there?.isDirectory()) lost.push(name);
  }
  return lost;
}

async function readVersionFolders(folder: AgentFolder): Promise<InstalledSet> {
  const installed: Record<string, InstalledSet[string]> = {};
  for (const name of await readdir(folder.components).catch(() => [])) {
    const current = await readlink(folder.current(name)).catch(() => undefined);
    if (current === undefined) continue;
    const entry = installedEntrySchema.safeParse(
      await readJsonFile(join(folder.version(name, current), 'component.json')),
    );
    if (entry.success) installed[name] = entry.data;
  }
  return installed;
}

/** What is on disk and how it is doing, as profile and reports tell it. */
export function installedComponents(
  installed: InstalledSet,
  container: Pick<Container, 'state'>,
): InstalledComponent[] {
  return Object.values(installed).map(({ name, version, requested, run }) => ({
    name,
    version,
    requested,
    state: run ? (container.state(name) ?? 'stopped') : 'installed',
  }));
}
