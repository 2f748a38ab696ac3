/** Which versions of an artifact come into question for a gateway, best first, and the artifacts a request can reach at all. */
import type { Alternative, Artifact, ArtifactName } from '@leonore/protocol';
import semver, { type SemVer } from 'semver';
import { fittingBuilds, type Catalogue, type CatalogueVersion } from './catalogue.ts';
import { capabilityVersion, own } from './ranges.ts';
import type { ResolveRequest } from './request.ts';
import type { Work } from './work.ts';

export interface Candidate {
  readonly name: ArtifactName;
  readonly version: string;
  readonly parsed: SemVer;
  /** The build this gateway would get; absent when blocked, or installed and not known to the repository. */
  readonly artifact: Artifact | undefined;
  /** Those of the version; of a withdrawn one those that would run here. */
  readonly builds: readonly Artifact[];
  readonly installed: boolean;
  /** Why it exists but cannot be had. */
  readonly blocked: 'platform' | 'withdrawn' | undefined;
}

/** Best first: what is installed (unless upgrading), then newest. */
export function candidatesOf(name: ArtifactName, request: ResolveRequest, catalogue: Catalogue): readonly Candidate[] {
  const installed = request.installed.find((component) => component.name === name)?.version;
  const candidates = catalogue.versions(name).map((entry) => candidate(entry, request, entry.version === installed));
  if (installed !== undefined && !candidates.some(({ version }) => version === installed)) {
    const parsed = new semver.SemVer(installed);
    const kept = { name, version: installed, parsed, artifact: undefined, builds: [], installed: true };
    candidates.push({ ...kept, blocked: undefined });
    candidates.sort((a, b) => semver.rcompare(a.parsed, b.parsed));
  }
  return candidates.toSorted((a, b) => rank(a, request.upgrade) - rank(b, request.upgrade));
}

function candidate(entry: CatalogueVersion, request: ResolveRequest, installed: boolean): Candidate {
  const { name, version, parsed, builds } = entry;
  const fitting = fittingBuilds(builds, request);
  const offered = fitting.find((build) => build.withdrawnAt === undefined);
  const artifact = offered ?? (installed ? fitting[0] : undefined);
  if (artifact) return { name, version, parsed, artifact, builds, installed, blocked: undefined };
  const blocked = fitting.length > 0 ? 'withdrawn' : 'platform';
  return { name, version, parsed, artifact, builds: blocked === 'withdrawn' ? fitting : builds, installed, blocked };
}

/** Sorting keeps newest first within a rank. An upgrade leaves a withdrawn version for any other. */
function rank({ installed, artifact }: Candidate, upgrade: boolean): number {
  if (!installed) return 1;
  if (!upgrade) return 0;
  return artifact?.withdrawnAt === undefined ? 1 : 2;
}

/** What a candidate says it brings of a capability. A blocked one has no build of its own: all that it might have count. */
export function providedTexts({ artifact, builds }: Candidate, capability: string): readonly string[] {
  const possible = artifact ? [artifact] : builds;
  return possible.flatMap((build) => own(build.manifest.provides, capability) ?? []);
}

export function provided(candidate: Candidate, capability: string): readonly SemVer[] {
  return providedTexts(candidate, capability).flatMap((text) => capabilityVersion(text) ?? []);
}

/** True when the gateway itself meets it. */
export function gatewayMeets(
  request: ResolveRequest,
  catalogue: Catalogue,
  capability: string,
  range: string,
): boolean {
  const text = own(request.capabilities, capability);
  const version = text === undefined ? undefined : capabilityVersion(text);
  return version !== undefined && catalogue.ranges.covers(version, range);
}

/** True when the gateway itself meets an alternative, so that there is nothing to choose. */
export function isMet({ capability, range }: Alternative, request: ResolveRequest, catalogue: Catalogue): boolean {
  return capability !== undefined && gatewayMeets(request, catalogue, capability, range);
}

/** Every artifact the request can reach through requirements and providers, nearest first, with its candidates. */
export function* reachable(
  request: ResolveRequest,
  catalogue: Catalogue,
): Work<ReadonlyMap<ArtifactName, readonly Candidate[]>> {
  const found = new Map<ArtifactName, readonly Candidate[]>();
  const queue: ArtifactName[] = request.applications.map(({ name }) => name);
  for (const name of queue) {
    if (found.has(name)) continue;
    const candidates = candidatesOf(name, request, catalogue);
    yield candidates.length * 10;
    found.set(name, candidates);
    const next = new Set<ArtifactName>();
    for (const { artifact } of candidates) {
      if (!artifact) continue;
      const { artifacts, optional = {}, capabilities, anyOf = [] } = artifact.manifest.requires;
      const wanted: Alternative[] = Object.entries(capabilities).map(([capability, range]) => ({ capability, range }));
      for (const alternatives of anyOf) {
        if (!alternatives.some((one) => isMet(one, request, catalogue))) wanted.push(...alternatives);
      }
      for (const needed of [...Object.keys(artifacts), ...Object.keys(optional)]) next.add(needed as ArtifactName);
      for (const one of wanted) {
        if (one.artifact !== undefined) next.add(one.artifact);
        if (one.capability === undefined || isMet(one, request, catalogue)) continue;
        for (const provider of catalogue.providers(one.capability)) next.add(provider);
      }
    }
    queue.push(...[...next].toSorted());
  }
  return found;
}
