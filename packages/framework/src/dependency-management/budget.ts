/** The least that what is chosen and what is demanded must take of a resource, against what the gateway has of it. */
import { fits } from './margins.ts';
import type { Artifact } from '@leonore/protocol';
import type { Budget, Problem, Resource } from './problem.ts';
import { no, yes, type Clause, type SearchState } from './search.ts';

interface Share {
  /** The candidate that takes it: the chosen one, or the smallest still possible. */
  readonly candidate: number;
  readonly bytes: number;
  /** False now; one of them must become true for the share to get smaller. */
  readonly literals: readonly number[];
}

/**
 * A clause that is false now, when the budget is overspent. Where a demand is met by some version it reads "not this
 * demand, or one of its smaller versions" rather than "not this version", so it holds for all its versions at once.
 */
export function overspent(budget: Budget, problem: Problem, state: SearchState): Clause | undefined {
  const shares = sharesOf(budget, problem, state).toSorted((a, b) => b.bytes - a.bytes);
  let bytes = 0;
  for (const [index, share] of shares.entries()) {
    bytes += share.bytes;
    if (fits(bytes, budget.available, budget.margin)) continue;
    const enough = shares.slice(0, index + 1);
    return {
      literals: enough.flatMap(({ literals }) => literals),
      facts: [budget.fact],
      evidence: enough.map(({ candidate }) => candidate),
    };
  }
  return undefined;
}

function sharesOf({ weights }: Budget, { candidates, demands }: Problem, state: SearchState): Share[] {
  const weightOf = (variable: number): number => weights[variable] ?? 0;
  const shares = new Map<string, Share>();
  for (const variable of state.chosen) {
    const demand = demands.get(variable);
    if (!demand || demand.kind !== 'artifact' || shares.has(demand.target)) continue;
    const possible = demand.candidates.filter((candidate) => state.value(candidate) !== -1);
    const candidate =
      possible.find((one) => state.value(one) === 1) ??
      possible.reduce((best, one) => (weightOf(one) < weightOf(best) ? one : best), possible[0] ?? 0);
    const bytes = weightOf(candidate);
    const smaller = demand.candidates.filter((one) => weightOf(one) < bytes);
    shares.set(demand.target, { candidate, bytes, literals: [no(variable), ...smaller.map(yes)] });
  }
  for (const variable of state.chosen) {
    const name = candidates[variable]?.name;
    if (name === undefined || shares.has(name)) continue;
    shares.set(name, { candidate: variable, bytes: weightOf(variable), literals: [no(variable)] });
  }
  return [...shares.values()].filter(({ bytes }) => bytes > 0);
}

/** Bytes. Memory counts for all that will be there; disk for what comes new: its files, or what it says it needs when that is more. */
export function weightOf(
  { artifact, installed }: { readonly artifact: Artifact | undefined; readonly installed: boolean },
  resource: Resource,
): number {
  if (!artifact) return 0;
  const { memory = 0, disk = 0 } = artifact.manifest.requires.resources;
  if (resource === 'memory') return memory;
  return installed ? 0 : Math.max(artifact.unpackedSize, disk);
}
