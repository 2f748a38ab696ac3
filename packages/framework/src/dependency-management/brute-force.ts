/**
 * For tests only: every set of versions that fulfils a request, by trying all of them. Shares no code with the resolver.
 * With `inForce` it answers the same for a part of the facts, the way explanations name them.
 */
import type { Artifact, ExplanationFact } from '@leonore/protocol';
import semver from 'semver';
import type { ResolveRequest } from './request.ts';

type FactName = Pick<ExplanationFact, 'kind' | 'subject' | 'object'>;
export type InForce = (fact: FactName) => boolean;
/** Name to version. */
export type Model = ReadonlyMap<string, string>;

interface Version {
  readonly name: string;
  readonly version: string;
  readonly build: Artifact | undefined;
  /** The build, or all that a blocked version might have. */
  readonly builds: readonly Artifact[];
  readonly installed: boolean;
  readonly blocked: 'platform' | 'withdrawn' | undefined;
}

export function allModels(
  request: ResolveRequest,
  artifacts: readonly Artifact[],
  inForce: InForce = () => true,
): Model[] {
  const names = new Set([
    ...artifacts.map(({ manifest }) => manifest.name as string),
    ...request.installed.map(({ name }) => name as string),
  ]);
  const versions = new Map([...names].map((name) => [name, versionsOf(name, request, artifacts)]));
  const models: Model[] = [];
  const walk = (rest: readonly string[], chosen: readonly Version[]): void => {
    const [name, ...others] = rest;
    if (name === undefined) {
      if (isValid(chosen, request, versions, inForce))
        models.push(new Map(chosen.map((one) => [one.name, one.version])));
      return;
    }
    walk(others, chosen);
    for (const version of versions.get(name) ?? []) {
      if (version.blocked && inForce({ kind: version.blocked, subject: name })) continue;
      walk(others, [...chosen, version]);
    }
  };
  walk([...names], []);
  return models;
}

/** Best first, as the resolver promises it. */
export function preference(name: string, request: ResolveRequest, artifacts: readonly Artifact[]): readonly string[] {
  const all = versionsOf(name, request, artifacts).toSorted((a, b) => semver.rcompare(a.version, b.version));
  const last = (one: Version) => request.upgrade && one.installed && one.build?.withdrawnAt !== undefined;
  const first = (one: Version) => !request.upgrade && one.installed;
  const ordered = [...all.filter(first), ...all.filter((one) => !first(one) && !last(one)), ...all.filter(last)];
  return ordered.map(({ version }) => version);
}

function versionsOf(name: string, request: ResolveRequest, artifacts: readonly Artifact[]): Version[] {
  const builds = artifacts.filter(({ manifest }) => manifest.name === name);
  const installed = request.installed.find((one) => one.name === name)?.version;
  const texts = new Set(builds.map(({ manifest }) => manifest.version));
  if (installed !== undefined) texts.add(installed);
  return [...texts].map((version) => {
    const these = builds.filter(({ manifest }) => manifest.version === version);
    const count = ({ manifest }: Artifact) => Object.keys(manifest.platform).length;
    const archs = [undefined, request.platform.arch, ...(request.compatibleArchs ?? [])];
    const foreign = ({ manifest: { platform } }: Artifact) => Math.max(1, archs.indexOf(platform.arch));
    const fitting = these
      .filter(
        ({ manifest: { platform } }) =>
          (!platform.os || platform.os === request.platform.os) &&
          (!platform.libc || platform.libc === request.platform.libc) &&
          archs.includes(platform.arch),
      )
      .toSorted((a, b) => foreign(a) - foreign(b) || count(b) - count(a));
    const isInstalled = version === installed;
    const build =
      fitting.find(({ withdrawnAt }) => withdrawnAt === undefined) ?? (isInstalled ? fitting[0] : undefined);
    const unknown = isInstalled && these.length === 0;
    const blocked = build || unknown ? undefined : fitting.length > 0 ? 'withdrawn' : 'platform';
    const possible = build ? [build] : blocked === 'withdrawn' ? fitting : these;
    return { name, version, build, builds: possible, installed: isInstalled, blocked };
  });
}

/** True when `other` meets a need that `user` has on this gateway; each is a version that there is. */
export function meetsNeedOf(
  user: NameAndVersion,
  other: NameAndVersion,
  request: ResolveRequest,
  artifacts: readonly Artifact[],
): boolean {
  const both = [user, other].flatMap(({ name, version }) =>
    versionsOf(name, request, artifacts).filter((one) => one.version === version),
  );
  const [needy, by] = both;
  if (!needy || !by || needy.blocked || by.blocked) return false;
  const versions = new Map(both.map((one) => [one.name, versionsOf(one.name, request, artifacts)]));
  return needsOf(needy, both, request, versions, () => true).some((met) => met.includes(by));
}

interface NameAndVersion {
  readonly name: string;
  readonly version: string;
}

/** For each need of a component those of the chosen that meet it. */
function needsOf(
  one: Version,
  chosen: readonly Version[],
  request: ResolveRequest,
  versions: ReadonlyMap<string, readonly Version[]>,
  inForce: InForce,
): Version[][] {
  const lists: Version[][] = [];
  const manifest = one.build?.manifest;
  if (!manifest) return lists;
  for (const [name, range] of Object.entries(manifest.requires.artifacts)) {
    if (!inForce({ kind: 'requires', subject: one.name, object: name })) continue;
    const met = meets(name, range, chosen, versions, inForce);
    if (met !== 'nothing to meet') lists.push(met);
  }
  for (const [capability, range] of Object.entries(manifest.requires.capabilities)) {
    if (!inForce({ kind: 'capability', subject: one.name, object: capability })) continue;
    const has = request.capabilities[capability];
    if (has !== undefined && semver.satisfies(number(has), range, { includePrerelease: true })) continue;
    lists.push(chosen.filter((other) => provides(other, capability, range, one, request)));
  }
  for (const alternatives of manifest.requires.anyOf ?? []) {
    const texts = alternatives.map((other) => `${other.artifact ?? other.capability} ${other.range}`);
    const object = [...new Set(texts)].join(' or ').replaceAll(' *', '');
    if (!inForce({ kind: 'any-of', subject: one.name, object })) continue;
    const met = alternatives.map(({ artifact, capability = '', range }) => {
      if (artifact !== undefined) {
        return chosen.filter((other) => other.name === artifact && semver.satisfies(other.version, range));
      }
      const has = request.capabilities[capability];
      if (has !== undefined && semver.satisfies(number(has), range, { includePrerelease: true })) return 'met';
      return chosen.filter((other) => provides(other, capability, range, one, request));
    });
    if (!met.includes('met')) lists.push(met.flatMap((list) => (list === 'met' ? [] : list)));
  }
  return lists;
}

function meets(
  name: string,
  range: string,
  chosen: readonly Version[],
  versions: ReadonlyMap<string, readonly Version[]>,
  inForce: InForce,
): Version[] | 'nothing to meet' {
  const exists = (versions.get(name) ?? []).some((one) => semver.satisfies(one.version, range));
  const kind = (versions.get(name) ?? []).length > 0 ? 'no-version' : 'unknown';
  if (!exists && !inForce({ kind, subject: name })) return 'nothing to meet';
  return chosen.filter((one) => one.name === name && semver.satisfies(one.version, range));
}

function isValid(
  chosen: readonly Version[],
  request: ResolveRequest,
  versions: ReadonlyMap<string, readonly Version[]>,
  inForce: InForce,
): boolean {
  for (const { name, range } of request.applications) {
    if (!inForce({ kind: 'requested', subject: name, object: range })) continue;
    if (meets(name, range, chosen, versions, inForce).length === 0) return false;
  }
  const needs = new Map(chosen.map((one) => [one, needsOf(one, chosen, request, versions, inForce)]));
  for (const one of chosen) {
    const manifest = one.build?.manifest;
    if (!manifest) continue;
    for (const [name, range] of Object.entries(manifest.requires.optional ?? {})) {
      if (!inForce({ kind: 'optional', subject: one.name, object: name })) continue;
      if (chosen.some((other) => other.name === name && !semver.satisfies(other.version, range))) return false;
    }
    for (const [name, range] of Object.entries(manifest.conflicts)) {
      if (!inForce({ kind: 'conflict', subject: one.name, object: name })) continue;
      const hit = (other: Version) => semver.satisfies(other.version, range, { includePrerelease: true });
      if (chosen.some((other) => other.name === name && hit(other))) return false;
    }
  }
  if ([...needs.values()].flat().some((list) => list.length === 0)) return false;
  return withinBudget(chosen, request, inForce) && (!inForce({ kind: 'cycle' }) || hasOrder(needs));
}

function provides(other: Version, capability: string, range: string, needy: Version, request: ResolveRequest): boolean {
  if (other.name === needy.name) return false;
  const texts = other.builds.flatMap(({ manifest }) => manifest.provides[capability] ?? []);
  if (!texts.some((text) => semver.satisfies(number(text), range))) return false;
  if (other.installed || semver.prerelease(other.version) === null) return true;
  const asked = request.applications.filter(({ name }) => name === other.name).map((one) => one.range);
  const named = Object.entries(needy.build?.manifest.requires.artifacts ?? {}).find(([name]) => name === other.name);
  return [...asked, ...(named ? [named[1]] : [])].some((one) => semver.satisfies(other.version, one));
}

function number(text: string): string {
  return semver.valid(text) ?? semver.coerce(text)?.version ?? '';
}

function withinBudget(chosen: readonly Version[], { resources }: ResolveRequest, inForce: InForce): boolean {
  const sum = (bytes: (build: Artifact) => number, some: readonly Version[]) =>
    some.reduce((total, { build }) => total + (build ? bytes(build) : 0), 0);
  const memory = sum(({ manifest }) => manifest.requires.resources.memory ?? 0, chosen);
  const disk = sum(
    ({ unpackedSize, manifest }) => Math.max(unpackedSize, manifest.requires.resources.disk ?? 0),
    chosen.filter(({ installed }) => !installed),
  );
  if (inForce({ kind: 'resource', subject: 'memory' }) && memory > (resources?.memory ?? Infinity)) return false;
  return !(inForce({ kind: 'resource', subject: 'disk' }) && disk > (resources?.disk ?? Infinity));
}

function hasOrder(needs: ReadonlyMap<Version, Version[][]>): boolean {
  const placed = new Set<Version>();
  for (let before = -1; before !== placed.size; ) {
    before = placed.size;
    for (const [one, lists] of needs) {
      if (lists.every((list) => list.some((other) => placed.has(other)))) placed.add(one);
    }
  }
  return placed.size === needs.size;
}
