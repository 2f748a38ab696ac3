/** All published builds, indexed the way the resolver asks. Holds the withdrawn ones too: they explain, and they may be installed. */
import { type Artifact, type ArtifactName, type Platform, platformKey } from '@leonore/protocol';
import { isDeepStrictEqual } from 'node:util';
import semver, { type SemVer } from 'semver';
import { createRanges, type Ranges } from './ranges.ts';
import { atOnce, type Work } from './work.ts';

export interface CatalogueVersion {
  readonly name: ArtifactName;
  readonly version: string;
  readonly parsed: SemVer;
  /** The most specific platform first. */
  readonly builds: readonly Artifact[];
}

export interface Catalogue {
  /** The artifact repository's, at the time of reading. */
  readonly revision: number;
  /** Sorted. */
  readonly names: readonly ArtifactName[];
  /** Newest first; empty for a name nobody published. */
  versions(name: string): readonly CatalogueVersion[];
  /** Names of the artifacts of which some build provides the capability, sorted. */
  providers(capability: string): readonly ArtifactName[];
  /** The build a plan's step means. */
  find(step: {
    name: string;
    version: string;
    contentSha256?: string | undefined;
    platform?: Platform | undefined;
  }): Artifact | undefined;
  readonly ranges: Ranges;
}

export function createCatalogue(artifacts: readonly Artifact[], revision: number): Catalogue {
  return atOnce(updatingCatalogue(undefined, artifacts, revision));
}

/** Not one list for each question, so that "still nothing" can be told from "something else". */
const NOTHING: readonly never[] = Object.freeze([]);

/**
 * The catalogue of these builds, as work. It hands out the very same lists as the one before for all that did not
 * change, so that an answer can be checked against it by identity.
 */
export function* updatingCatalogue(
  before: Catalogue | undefined,
  artifacts: readonly Artifact[],
  revision: number,
): Work<Catalogue> {
  const byName = new Map<string, Map<string, Artifact[]>>();
  const byCapability = new Map<string, Set<ArtifactName>>();
  for (const [index, artifact] of artifacts.entries()) {
    const { name, version, provides } = artifact.manifest;
    const versions = getOrAdd(byName, name, () => new Map<string, Artifact[]>());
    getOrAdd(versions, version, (): Artifact[] => []).push(artifact);
    for (const capability of Object.keys(provides)) {
      getOrAdd(byCapability, capability, () => new Set<ArtifactName>()).add(name);
    }
    if (index % 100 === 0) yield 100;
  }

  const sorted = new Map<string, readonly CatalogueVersion[]>();
  for (const [name, versions] of byName) {
    const known = before?.versions(name) ?? NOTHING;
    sorted.set(name, isSame(known, versions) ? known : newestFirst(name as ArtifactName, versions));
    yield versions.size * 10;
  }
  const providers = new Map(
    [...byCapability].map(([capability, names]) => [
      capability,
      kept(before?.providers(capability), [...names].toSorted()),
    ]),
  );
  const names = kept(before?.names, [...byName.keys()].toSorted() as ArtifactName[]);

  return {
    revision,
    names,
    versions: (name) => sorted.get(name) ?? NOTHING,
    providers: (capability) => providers.get(capability) ?? NOTHING,
    find({ name, version, contentSha256, platform }) {
      const builds = sorted.get(name)?.find((entry) => entry.version === version)?.builds;
      return builds?.find(
        (build) =>
          (contentSha256 === undefined || build.contentSha256 === contentSha256) &&
          (platform === undefined || platformKey(build.manifest.platform) === platformKey(platform)),
      );
    },
    ranges: createRanges(),
  };
}

function isSame(known: readonly CatalogueVersion[], versions: ReadonlyMap<string, readonly Artifact[]>): boolean {
  if (known.length !== versions.size) return false;
  return known.every(({ version, builds }) => {
    const now = versions.get(version);
    return now?.length === builds.length && now.every((one) => builds.some((other) => isDeepStrictEqual(one, other)));
  });
}

function kept<T>(before: readonly T[] | undefined, now: readonly T[]): readonly T[] {
  return before?.length === now.length && before.every((one, index) => one === now[index]) ? before : now;
}

/** What a gateway can run: its own platform, and other architectures. */
export interface Runs {
  readonly platform: Platform;
  readonly compatibleArchs?: readonly string[];
}

/** A build fits when each platform key it names equals the gateway's; for the architecture a compatible one will do. */
export function fitsPlatform(build: Platform, { platform, compatibleArchs = [] }: Runs): boolean {
  return PLATFORM_KEYS.every(
    (key) =>
      build[key] === undefined ||
      build[key] === platform[key] ||
      (key === 'arch' && compatibleArchs.includes(build[key])),
  );
}

/** Of the builds those that fit: what is for the gateway's own architecture (or any) first, then as they come. */
export function fittingBuilds(builds: readonly Artifact[], gateway: Runs): readonly Artifact[] {
  const fitting = builds.filter(({ manifest }) => fitsPlatform(manifest.platform, gateway));
  const { platform, compatibleArchs = [] } = gateway;
  if (compatibleArchs.length === 0) return fitting;
  const distance = ({
    manifest: {
      platform: { arch },
    },
  }: Artifact): number => (arch === undefined || arch === platform.arch ? 0 : 1 + compatibleArchs.indexOf(arch));
  return fitting.toSorted((a, b) => distance(a) - distance(b));
}

export const PLATFORM_KEYS = ['os', 'arch', 'libc'] as const;

function newestFirst(name: ArtifactName, versions: Map<string, Artifact[]>): readonly CatalogueVersion[] {
  return [...versions]
    .map(([version, builds]) => ({
      name,
      version,
      parsed: new semver.SemVer(version),
      builds: builds.toSorted(bySpecificity),
    }))
    .toSorted((a, b) => semver.rcompare(a.parsed, b.parsed));
}

/** More keys named first; among as many, the one that names the architecture, then the C library, then the system. */
function bySpecificity(a: Artifact, b: Artifact): number {
  const difference = specificity(b.manifest.platform) - specificity(a.manifest.platform);
  return difference !== 0 ? difference : platformKey(a.manifest.platform) < platformKey(b.manifest.platform) ? -1 : 1;
}

function specificity({ os, arch, libc }: Platform): number {
  const named = [os, arch, libc].filter((key) => key !== undefined).length;
  return named * 8 + (arch === undefined ? 0 : 4) + (libc === undefined ? 0 : 2) + (os === undefined ? 0 : 1);
}

export function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
