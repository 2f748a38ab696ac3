/** Which candidates meet a capability, or one of several alternatives, the preferred one first. */
import type { Alternative } from '@leonore/protocol';
import type { SemVer } from 'semver';
import type { Candidate } from './candidates.ts';
import { provided } from './candidates.ts';
import type { Catalogue } from './catalogue.ts';
import type { Problem } from './problem.ts';
import { own } from './ranges.ts';
import type { ResolveRequest } from './request.ts';
import type { Work } from './work.ts';

/**
 * Nobody provides for itself. A pre-release is not taken just for a capability: it counts where it is installed, or
 * where the request or the one in need asks for it by a range of its own.
 */
export function* providersOf(
  needy: Candidate,
  capability: string,
  range: string,
  { candidates, versions }: Pick<Problem, 'candidates' | 'versions'>,
  request: ResolveRequest,
  catalogue: Catalogue,
): Work<readonly number[]> {
  const { ranges } = catalogue;
  const list: Provider[] = [];
  for (const name of catalogue.providers(capability)) {
    if (name === needy.name) continue;
    const named = needy.artifact && own(needy.artifact.manifest.requires.artifacts, name);
    const asked = request.applications.filter((application) => application.name === name).map((one) => one.range);
    if (named !== undefined) asked.push(named);
    const variables = versions.get(name) ?? [];
    yield variables.length * 10;
    for (const variable of variables) {
      const candidate = candidates[variable] as Candidate;
      const version = provided(candidate, capability).find((one) => ranges.fits(one, range));
      if (!version) continue;
      const early = candidate.parsed.prerelease.length > 0 && !candidate.installed;
      if (early && !asked.some((text) => ranges.fits(candidate.parsed, text))) continue;
      list.push({ variable, name, version, rank: rankOf(candidate, request) });
    }
  }
  return list.toSorted(byPreference).map(({ variable }) => variable);
}

interface Provider {
  readonly variable: number;
  readonly name: string;
  readonly version: SemVer;
  readonly rank: number;
}

/** Lower is better: what is installed comes first, then what is requested, then the version that is there. */
function rankOf({ name, installed }: Candidate, request: ResolveRequest): number {
  const there = request.installed.some((component) => component.name === name);
  const requested = request.applications.some((application) => application.name === name);
  const kept = installed && !request.upgrade;
  return (there ? 0 : 4) + (requested ? 0 : 2) + (kept ? 0 : 1);
}

/** What meets one of the alternatives: what is installed or requested first, else in the order written. */
export function* alternativesOf(
  needy: Candidate,
  alternatives: readonly Alternative[],
  problem: Pick<Problem, 'candidates' | 'versions'>,
  request: ResolveRequest,
  catalogue: Catalogue,
): Work<readonly number[]> {
  const { candidates, versions } = problem;
  const found = new Set<number>();
  for (const { artifact, capability, range } of alternatives) {
    if (artifact !== undefined) {
      for (const variable of versions.get(artifact) ?? []) {
        if (catalogue.ranges.fits((candidates[variable] as Candidate).parsed, range)) found.add(variable);
      }
    }
    if (capability === undefined) continue;
    for (const variable of yield* providersOf(needy, capability, range, problem, request, catalogue)) {
      found.add(variable);
    }
  }
  const rank = (variable: number): number => rankOf(candidates[variable] as Candidate, request);
  return [...found].toSorted((a, b) => rank(a) - rank(b));
}

/** Then the newest of the capability, then by name and the preferred version of each. */
function byPreference(a: Provider, b: Provider): number {
  const byName = a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
  return a.rank - b.rank || b.version.compare(a.version) || byName || a.variable - b.variable;
}
