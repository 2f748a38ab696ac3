/** All published builds, indexed the way the resolver asks. Holds the withdrawn ones too: they explain, and they may be installed. */
import { type Artifact, type ArtifactName, type Platform, platformKey } from '@leonore/protocol';
import semver, { type SemVer } from 'semver';
import { createRanges, type Ranges } from './ranges.ts';

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
  const byName = new Map<string, Map<string, Artifact[]>>();
  const byCapability = new Map<string, Set<ArtifactName>>();
  for (const artifact of artifacts) {
    const { name, version, provides } = artifact.manifest;
    const versions = getOrAdd(byName, name, () => new Map<string, Artifact[]>());
    getOrAdd(versions, version, (): Artifact[] => []).push(artifact);
    for (const capability of Object.keys(provides)) {
      getOrAdd(byCapability, capability, () => new Set<ArtifactName>()).add(name);
    }
  }

  const sorted = new Map<string, readonly CatalogueVersion[]>();
  for (const [name, versions] of byName) sorted.set(name, newestFirst(name as ArtifactName, versions));
  const providers = new Map([...byCapability].map(([capability, names]) => [capability, [...names].toSorted()]));

  return {
    revision,
    names: [...byName.keys()].toSorted() as ArtifactName[],
    versions: (name) => sorted.get(name) ?? [],
    providers: (capability) => providers.get(capability) ?? [],
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

/** A build fits when each platform key it names equals the gateway's. */
export function fitsPlatform(build: Platform, gateway: Platform): boolean {
  return PLATFORM_KEYS.every((key) => build[key] === undefined || build[key] === gateway[key]);
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

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
