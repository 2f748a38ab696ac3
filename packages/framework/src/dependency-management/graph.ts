/**
 * The graph of all published builds, read both ways: who needs an artifact, and what does a version bring in. It tells
 * what is declared, whatever the gateway: which versions one gateway would get is the resolver's answer.
 */
import {
  type Artifact,
  type ArtifactManifest,
  type ArtifactNeeds,
  type Dependent,
  type Need,
  type NeededVersion,
  platformKey,
} from '@leonore/protocol';
import semver, { type SemVer } from 'semver';
import { getOrAdd, type Catalogue, type CatalogueVersion } from './catalogue.ts';
import { capabilityVersion, own, type Ranges } from './ranges.ts';
import { withRange } from './wording.ts';
import type { Work } from './work.ts';

type DeclaredNeed = Pick<Need, 'text' | 'alternatives' | 'optional'>;
type Alternative = Need['alternatives'][number];

function needsOf({ requires }: ArtifactManifest): readonly DeclaredNeed[] {
  const { artifacts, capabilities, optional = {}, anyOf = [] } = requires;
  const each = (kind: Alternative['kind'], declared: Readonly<Record<string, string>>) =>
    Object.entries(declared).map(([name, range]) => ({ kind, name, range }));
  return [
    ...each('artifact', artifacts).map((one) => declaredNeed([one])),
    ...each('capability', capabilities).map((one) => declaredNeed([one])),
    ...anyOf.map((list) =>
      declaredNeed(
        list.map(({ artifact, capability, range }) =>
          artifact === undefined
            ? { kind: 'capability', name: capability ?? '', range }
            : { kind: 'artifact', name: artifact, range },
        ),
      ),
    ),
    ...each('artifact', optional).map((one) => declaredNeed([one], true)),
  ];
}

function declaredNeed(alternatives: Alternative[], optional = false): DeclaredNeed {
  const texts = alternatives.map(
    ({ kind, name, range }) => (kind === 'capability' ? 'capability ' : '') + withRange(name, range),
  );
  return { text: (optional ? 'optional ' : '') + texts.join(' or '), alternatives, optional };
}

/** A version that others may need: its name and number, and what it provides. */
interface Provider {
  readonly name: string;
  readonly parsed: SemVer;
  readonly provides: readonly Readonly<Record<string, string>>[];
}

function meets(provider: Provider, wanted: Alternative, ranges: Ranges): boolean {
  if (wanted.kind === 'artifact') return wanted.name === provider.name && ranges.fits(provider.parsed, wanted.range);
  return provider.provides.some((provided) => {
    const text = own(provided, wanted.name);
    const version = text === undefined ? undefined : capabilityVersion(text);
    return version !== undefined && ranges.fits(version, wanted.range);
  });
}

export interface DependentsOptions {
  /** Which versions of the artifact; pre-releases count as their order says. Absent: all, and those that nobody published. */
  readonly range?: string | undefined;
  /** Also who needs those who need it, and so on; each build once, by a shortest path. */
  readonly transitive?: boolean;
}

/**
 * Every published build, withdrawn ones too, that needs the artifact by name and range or a capability that it provides.
 * Sorted by distance, name, newest version, platform. Other versions of the artifact itself are none.
 */
export function* dependentsOf(
  catalogue: Catalogue,
  name: string,
  { range, transitive = false }: DependentsOptions = {},
): Work<readonly Dependent[]> {
  const { ranges } = catalogue;
  const users = yield* indexUsers(catalogue);
  const found = new Map<Artifact, Dependent>();
  const farthest = transitive ? Infinity : 1;
  let reached: readonly Reached[] = roots(catalogue, name, range);
  for (let distance = 1; reached.length > 0 && distance <= farthest; distance++) {
    const level = new Map<Artifact, { place: number; via: Reached; needs: Set<string> }>();
    for (const via of reached) {
      const all = users.of(via);
      yield STEPS_PER_USER * (1 + all.length);
      for (const { build, place, need, wanted } of all) {
        if (build.manifest.name === name || found.has(build)) continue;
        if (build.manifest.name === via.name || !(meets(via, wanted, ranges) || via.byName?.(wanted))) continue;
        const known = level.get(build);
        if (!known) level.set(build, { place, via, needs: new Set([need.text]) });
        else if (known.via === via || distance === 1) known.needs.add(need.text);
      }
    }
    const next: Reached[] = [];
    for (const [build, { via, needs }] of [...level].toSorted(([, a], [, b]) => a.place - b.place)) {
      found.set(build, dependent(build, needs, via.path));
      next.push(reachedBy(build, via));
      yield STEPS_PER_USER;
    }
    reached = next;
  }
  return [...found.values()];
}

/** One that may need another is looked at. */
const STEPS_PER_USER = 20;

interface Reached extends Provider {
  /** From it to the artifact asked about, itself first; empty for that one. */
  readonly path: readonly string[];
  /** Meets a need beyond what is published. */
  readonly byName?: (wanted: Alternative) => boolean;
}

function roots(catalogue: Catalogue, name: string, range: string | undefined): readonly Reached[] {
  const versions = catalogue.versions(name).map(({ parsed, builds }) => ({
    name,
    parsed,
    provides: builds.map(({ manifest }) => manifest.provides),
    path: [],
  }));
  const nothing = { name, parsed: new semver.SemVer('0.0.0'), provides: [], path: [] };
  if (range === undefined) {
    return [...versions, { ...nothing, byName: (wanted) => wanted.kind === 'artifact' && wanted.name === name }];
  }
  const asked = versions.filter(({ parsed }) => catalogue.ranges.covers(parsed, range));
  // A version that runs somewhere though it is not published here can be asked for all the same.
  const exact = semver.parse(range);
  return asked.length === 0 && exact ? [{ ...nothing, parsed: exact }] : asked;
}

function reachedBy(build: Artifact, via: Reached): Reached {
  const { name, version, provides } = build.manifest;
  return { name, parsed: new semver.SemVer(version), provides: [provides], path: [`${name} ${version}`, ...via.path] };
}

function dependent(build: Artifact, needs: ReadonlySet<string>, path: readonly string[]): Dependent {
  const { name, version, platform } = build.manifest;
  return { name, version, platform, withdrawn: build.withdrawnAt !== undefined, needs: [...needs], path: [...path] };
}

interface User {
  readonly build: Artifact;
  /** Where it stands among all: by name, newest version, platform. */
  readonly place: number;
  readonly need: DeclaredNeed;
  readonly wanted: Alternative;
}

interface Users {
  of(provider: Provider): readonly User[];
}

function* indexUsers(catalogue: Catalogue): Work<Users> {
  const byNeed = new Map<string, User[]>();
  let place = 0;
  for (const name of catalogue.names) {
    for (const { builds } of catalogue.versions(name)) {
      for (const build of builds.toSorted(byPlatform)) {
        place++;
        for (const need of needsOf(build.manifest)) {
          for (const wanted of need.alternatives) {
            getOrAdd(byNeed, `${wanted.kind} ${wanted.name}`, (): User[] => []).push({ build, place, need, wanted });
          }
        }
      }
      yield STEPS_PER_USER * builds.length;
    }
  }
  return {
    of({ name, provides }) {
      const capabilities = new Set(provides.flatMap((provided) => Object.keys(provided)));
      const keys = [`artifact ${name}`, ...[...capabilities].map((capability) => `capability ${capability}`)];
      return keys.flatMap((key) => byNeed.get(key) ?? []);
    },
  };
}

/**
 * What a version needs, what would meet each need, and what the newest of those needs in turn, each once. Undefined when
 * there is no such version. What is withdrawn meets nothing; a pre-release meets a capability only where it is asked for.
 */
export function* bringsIn(catalogue: Catalogue, name: string, version: string): Work<ArtifactNeeds | undefined> {
  const root = catalogue.versions(name).find((entry) => entry.version === version);
  if (!root) return undefined;
  const drawn = new Set<string>();

  function* needsBelow(entry: CatalogueVersion, above: ReadonlySet<string>): Work<Need[]> {
    const here = new Set([...above, entry.name]);
    const needs: Need[] = [];
    for (const { need, manifest, platforms } of needsOfVersion(entry)) {
      const candidates: NeededVersion[] = [];
      for (const versions of providersOf(need, manifest)) candidates.push(yield* candidate(versions, here));
      needs.push({ ...need, ...(platforms === undefined ? {} : { platforms }), candidates });
      yield STEPS_PER_NEED;
    }
    return needs;
  }

  function providersOf({ alternatives }: DeclaredNeed, manifest: ArtifactManifest): CatalogueVersion[][] {
    const names = new Set<string>(
      alternatives.flatMap<string>(({ kind, name: wanted }) =>
        kind === 'artifact' ? [wanted] : catalogue.providers(wanted),
      ),
    );
    names.delete(manifest.name);
    const would = [...names].map((other) =>
      catalogue.versions(other).filter((entry) => alternatives.some((wanted) => wouldDo(entry, wanted, manifest))),
    );
    return would.filter((versions) => versions.length > 0);
  }

  function wouldDo({ name: other, parsed, builds }: CatalogueVersion, wanted: Alternative, by: ArtifactManifest) {
    const provides = builds.filter(isOffered).map(({ manifest }) => manifest.provides);
    if (provides.length === 0 || !meets({ name: other, parsed, provides }, wanted, catalogue.ranges)) return false;
    if (wanted.kind === 'artifact' || parsed.prerelease.length === 0) return true;
    const asked = own(by.requires.artifacts, other);
    return asked !== undefined && catalogue.ranges.fits(parsed, asked);
  }

  function* candidate(versions: readonly CatalogueVersion[], above: ReadonlySet<string>): Work<NeededVersion> {
    const [newest] = versions as [CatalogueVersion];
    const shown = { name: newest.name, versions: versions.map((entry) => entry.version) };
    if (above.has(newest.name)) return { ...shown, mark: 'cycle', needs: [] };
    const key = `${newest.name} ${newest.version}`;
    if (drawn.has(key)) return { ...shown, mark: 'again', needs: [] };
    const needs = yield* needsBelow(newest, above);
    // One without needs reads the same everywhere.
    if (needs.length > 0) drawn.add(key);
    return { ...shown, needs };
  }

  return {
    name: root.name,
    version,
    withdrawn: !root.builds.some(isOffered),
    needs: yield* needsBelow(root, new Set()),
  };
}

/** What would meet one need is gathered. */
const STEPS_PER_NEED = 100;

function isOffered({ withdrawnAt }: Artifact): boolean {
  return withdrawnAt === undefined;
}

/** The needs of all builds of a version (artifacts, capabilities, choices, what is optional), each with the platforms that have it where not all do. */
function needsOfVersion({ builds }: CatalogueVersion) {
  const offered = builds.some(isOffered) ? builds.filter(isOffered) : builds;
  const all = offered.flatMap(({ manifest }) => needsOf(manifest).map((need) => ({ need, manifest })));
  const distinct = [...Map.groupBy(all, ({ need }) => need.text).values()].map((same) => {
    const [{ need, manifest }] = same as [(typeof same)[number]];
    const platforms = same.map((one) => platformKey(one.manifest.platform)).toSorted();
    return { need, manifest, platforms: same.length < offered.length ? platforms : undefined };
  });
  const rank = ({ alternatives: [first, ...others], optional }: DeclaredNeed) =>
    optional ? 3 : others.length > 0 ? 2 : first?.kind === 'capability' ? 1 : 0;
  return distinct.toSorted((a, b) => rank(a.need) - rank(b.need) || compare(a.need.text, b.need.text));
}

function byPlatform(a: Artifact, b: Artifact): number {
  return compare(platformKey(a.manifest.platform), platformKey(b.manifest.platform));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
