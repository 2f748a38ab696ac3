/**
 * How two packages differ for a gateway that has what the first brings and keeps, and gets the second: components, files,
 * bytes over the air. Leaves to others: finding the packages, making deltas.
 */
import type {
  ComponentDiff,
  FileEntry,
  PackageComponent,
  PackageContents,
  PackageDiff,
  PackageSummary,
} from '@leonore/protocol';
import type { DeltaPair } from '../repositories/mod.ts';

/** A package record has it. */
export interface DiffedPackage {
  readonly summary: Pick<PackageSummary, 'id' | 'format' | 'size'>;
  readonly manifest: PackageContents;
}

/** Bytes of the delta from one build to the other; undefined when there is none. */
export type DeltaBytes = (pair: DeltaPair) => Promise<number | undefined>;

export async function diffPackages(
  from: DiffedPackage,
  to: DiffedPackage,
  deltaBytes: DeltaBytes,
): Promise<PackageDiff> {
  const before = holdings(from.manifest);
  const after = holdings(to.manifest);
  const there = [...after].map(([name, holding]) => compare(name, before.get(name), holding, to, deltaBytes));
  const removed = [...before].filter(([name]) => !after.has(name)).map(([name, holding]) => gone(name, holding));
  const components = [...(await Promise.all(there)), ...removed];
  const saved = components.reduce((sum, { bytes: { full, delta = full } }) => sum + full - delta, 0);
  return {
    from: from.summary.id,
    to: to.summary.id,
    components,
    bytes: { full: to.summary.size, least: to.summary.size - saved },
  };
}

/** A component after a package was installed; of one that it keeps the version is known and nothing else. */
interface Holding {
  readonly version: string;
  readonly brought?: PackageComponent;
}

function holdings({ components, keep }: PackageContents): ReadonlyMap<PackageComponent['name'], Holding> {
  return new Map<PackageComponent['name'], Holding>([
    ...components.map((brought) => [brought.name, { version: brought.version, brought }] as const),
    ...keep.map(({ name, version }) => [name, { version }] as const),
  ]);
}

async function compare(
  name: PackageComponent['name'],
  before: Holding | undefined,
  after: Holding,
  to: DiffedPackage,
  deltaBytes: DeltaBytes,
): Promise<ComponentDiff> {
  const old = before?.brought;
  const { version, brought } = after;
  const full = brought?.segment.length ?? 0;
  const delta = old && brought && isArchive(to) ? await leastBytes(old, brought, deltaBytes) : undefined;
  return {
    name,
    change: changeOf(before, after),
    ...(before === undefined ? {} : { from: before.version }),
    to: version,
    files: changedFiles(before === undefined ? [] : old?.files, brought?.files),
    bytes: { full, ...(delta !== undefined && delta < full ? { delta } : {}) },
  };
}

function gone(name: PackageComponent['name'], { version, brought }: Holding): ComponentDiff {
  return { name, change: 'removed', from: version, files: changedFiles(brought?.files, []), bytes: { full: 0 } };
}

function changeOf(before: Holding | undefined, after: Holding): ComponentDiff['change'] {
  if (before === undefined) return 'added';
  if (before.version !== after.version) return 'updated';
  const isRebuilt = before.brought && after.brought && before.brought.contentSha256 !== after.brought.contentSha256;
  return isRebuilt ? 'rebuilt' : 'same';
}

/** An image or an update of SWUpdate is taken whole. */
function isArchive({ summary: { format } }: DiffedPackage): boolean {
  switch (format) {
    case 'tar.gz':
    case 'tar.zst':
      return true;
    case 'swu':
    case 'image':
      return false;
    default:
      return format satisfies never;
  }
}

/** The same content is never sent again. */
async function leastBytes(
  old: PackageComponent,
  brought: PackageComponent,
  deltaBytes: DeltaBytes,
): Promise<number | undefined> {
  if (old.contentSha256 === brought.contentSha256) return 0;
  return await deltaBytes({ from: old.contentSha256, to: brought.contentSha256 });
}

/** In order of path. Nothing can be said where one side is not known. */
function changedFiles(
  before: readonly FileEntry[] | undefined,
  after: readonly FileEntry[] | undefined,
): ComponentDiff['files'] {
  if (before === undefined || after === undefined) return [];
  const old = new Map(before.map((file) => [file.path, file]));
  const kept = new Set(after.map(({ path }) => path));
  const came = after.flatMap((file) => {
    const was = old.get(file.path);
    if (was && was.sha256 === file.sha256 && was.mode === file.mode) return [];
    return { path: file.path, ...(was ? { from: was.size } : {}), to: file.size };
  });
  const went = before.filter(({ path }) => !kept.has(path)).map(({ path, size }) => ({ path, from: size }));
  return [...came, ...went].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
