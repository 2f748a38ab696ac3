/**
 * What must hold of a package manifest beyond its schema, checked where one is made and where one is read.
 * Pure. Leaves to others: whether the bytes are what the manifest says.
 */
import type { PackageComponent, PackageManifest } from '@leonore/protocol';
import { hostile, mismatch, quoted } from './archive-fault.ts';
import { createEntryBudget, type ArchiveLimits, type EntryBudget } from './archive-limits.ts';
import { componentRoots, foldedPath, liesIn, pathFault } from './entry-path.ts';

/** @throws LeonoreError `archive.hostile` or `archive.mismatch`, naming the component or the file */
export function checkPackageManifest(manifest: PackageManifest, limits: ArchiveLimits): void {
  const budget = createEntryBudget(limits);
  const names = new Set<string>();
  let offset = 0;
  for (const component of manifest.components) {
    const { name, segment } = component;
    if (names.has(name)) throw mismatch(`the component ${name}`, 'is there twice');
    names.add(name);
    if (segment.offset !== offset) {
      throw mismatch(`the segment of ${name}`, `lies at ${segment.offset}, the one before it ends at ${offset}`);
    }
    offset += segment.length;
    checkFiles(component, budget);
  }
  if (!Number.isSafeInteger(offset) || offset !== manifest.payloadSize) {
    throw mismatch('the manifest', `says that all segments have ${manifest.payloadSize} bytes, they have ${offset}`);
  }
}

function checkFiles({ name, files, unpackedSize }: PackageComponent, budget: EntryBudget): void {
  const roots = componentRoots(name);
  const seen = new Map<string, string>();
  let bytes = 0;
  for (const file of files) {
    const shown = quoted(file.path);
    const fault = pathFault(file.path);
    if (fault) throw hostile(shown, fault);
    if (!liesIn(file.path, roots)) throw hostile(shown, `lies outside of ${roots.join(' and ')}`);
    const twin = seen.get(foldedPath(file.path));
    if (twin === file.path) throw hostile(shown, 'is there twice');
    if (twin !== undefined) throw hostile(shown, `differs from ${quoted(twin)} only in upper and lower case`);
    seen.set(foldedPath(file.path), file.path);
    budget.spend(file);
    bytes += file.size;
  }
  if (bytes !== unpackedSize) {
    throw mismatch(`the component ${name}`, `says it has ${unpackedSize} bytes unpacked, its files have ${bytes}`);
  }
}
