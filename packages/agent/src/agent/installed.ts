/** What is installed, as the agent remembers it: the value that plans are made from and that a commit replaces whole. */
import { artifactNameSchema, installPathSchema, runSchema, sha256Schema, versionSchema } from '@leonore/protocol';
import { z } from 'zod';

export const installedEntrySchema = z.object({
  name: artifactNameSchema,
  version: versionSchema,
  /** Name of its version folder. */
  folder: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.~-]{0,200}$/),
  contentSha256: sha256Schema,
  requested: z.boolean(),
  /** Components that must run before this one. */
  after: z.array(artifactNameSchema),
  /** Absent = nothing to run. */
  run: runSchema.optional(),
  installPath: installPathSchema.optional(),
  /** The version that it replaced. */
  previousVersion: versionSchema.optional(),
  /** Sequence of the task that brought it. */
  sequence: z.int(),
});
export type InstalledEntry = z.infer<typeof installedEntrySchema>;

/** By name. */
export const installedSetSchema = z.record(z.string(), installedEntrySchema);
export type InstalledSet = Readonly<Record<string, InstalledEntry>>;

/**
 * Names so that each comes behind what it needs; otherwise in the given order. Needs that are not among `names` count
 * for nothing; a circle is cut where it is met, so this always ends.
 */
export function inStartOrder(names: readonly string[], set: InstalledSet): string[] {
  const wanted = new Set(names);
  const seen = new Set<string>();
  const ordered: string[] = [];
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const need of set[name]?.after ?? []) visit(need);
    if (wanted.has(name)) ordered.push(name);
  };
  for (const name of names) visit(name);
  return ordered;
}

/** `names` and all that need one of them, directly or not. */
export function withDependents(names: Iterable<string>, set: InstalledSet): Set<string> {
  const found = new Set(names);
  for (let grew = true; grew; ) {
    grew = false;
    for (const entry of Object.values(set)) {
      if (!found.has(entry.name) && entry.after.some((need) => found.has(need))) {
        found.add(entry.name);
        grew = true;
      }
    }
  }
  return found;
}
