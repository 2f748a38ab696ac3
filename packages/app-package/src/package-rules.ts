/**
 * What must hold of a package manifest beyond its schema, checked where one is made and where one is read.
 * Pure. Leaves to others: whether the bytes are what the manifest says.
 */
import type { PackageComponent, PackageManifest } from '@leonore/protocol';
import { hostile, mismatch, quoted } from './archive-fault.ts';
import { createEntryBudget, type ArchiveLimits } from './archive-limits.ts';
import { componentRoots, foldedPath, liesIn, pathFault } from './entry-path.ts';

/**
 * `knowsFiles`: the files of all components were checked before.
 * @throws LeonoreError `archive.hostile` or `archive.mismatch`, naming the component or the file
 */
export function checkPackageManifest(manifest: PackageManifest, limits: ArchiveLimits, knowsFiles = false): void {
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
    for (const file of component.files) budget.spend(file);
    if (!knowsFiles) checkFiles(component);
  }
  if (!Number.isSafeInteger(offset) || offset !== manifest.payloadSize) {
    throw mismatch('the manifest', `says that all segments have ${manifest.payloadSize} bytes, they have ${offset}`);
  }
}

/** Of one component. @throws as `checkPackageManifest` */
export function checkFiles({
  name,
  files,
  unpackedSize,
}: Pick<PackageComponent, 'name' | 'files' | 'unpackedSize'>): void {
  const roots = componentRoots(name);
  const seen = new Map<string, string>();
  let bytes = 0;
  for (const file of files) {
    const fault = fileFault(file.path, roots, seen);
    if (fault) throw hostile(quoted(file.path), fault);
    bytes += file.size;
  }
  if (bytes !== unpackedSize) {
    throw mismatch(`the component ${name}`, `says it has ${unpackedSize} bytes unpacked, its files have ${bytes}`);
  }
}

/** What is wrong with the path of a file, after those `seen` (by their folded paths). */
function fileFault(path: string, roots: readonly string[], seen: Map<string, string>): string | undefined {
  const fault = pathFault(path);
  if (fault) return fault;
  if (!liesIn(path, roots)) return `lies outside of ${roots.join(' and ')}`;
  const folded = foldedPath(path);
  const twin = seen.get(folded);
  if (twin === path) return 'is there twice';
  if (twin !== undefined) return `differs from ${quoted(twin)} only in upper and lower case`;
  seen.set(folded, path);
  return undefined;
}
