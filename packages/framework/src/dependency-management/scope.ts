/** Which versions an explanation speaks of: those that its facts leave in question. */
import type { Catalogue } from './catalogue.ts';
import type { Need, Problem } from './problem.ts';
import type { ResolveRequest } from './request.ts';
import type { Clause } from './search.ts';

export interface FactContext {
  readonly problem: Problem;
  readonly request: ResolveRequest;
  readonly catalogue: Catalogue;
  /** Indices of the facts to be told. */
  readonly core: ReadonlySet<number>;
  /** Cycles and overspent budgets that showed up. */
  readonly found: readonly Clause[];
}

/** By name the versions that the facts of the core leave in question, nearest to the request first. */
export type Scope = ReadonlyMap<string, ReadonlySet<number>>;

export function scopeOf({ problem, core }: FactContext): Scope {
  const scope = new Map<string, Set<number>>();
  const queue: number[] = [];
  const bounds = new Map<string, ReadonlySet<number>>();
  const roots = problem.roots.filter(({ fact }) => core.has(fact));
  for (const { demand } of roots) {
    const bound = bounds.get(demand.target);
    const both = new Set(demand.candidates.filter((one) => bound?.has(one) ?? true));
    // Two requests for one thing that exclude each other: either is told about.
    bounds.set(demand.target, both.size > 0 ? both : new Set([...demand.candidates, ...(bound ?? [])]));
  }
  const enter = ({ demand }: Need): void => {
    if (demand.kind === 'artifact' && !scope.has(demand.target)) scope.set(demand.target, new Set());
    for (const one of demand.candidates) {
      const name = problem.candidates[one]?.name ?? '';
      const known = scope.get(name) ?? new Set();
      scope.set(name, known);
      if (known.has(one) || bounds.get(name)?.has(one) === false) continue;
      known.add(one);
      queue.push(one);
    }
  };
  roots.forEach(enter);
  for (const one of queue) (problem.needs[one] ?? []).filter(({ fact }) => core.has(fact)).forEach(enter);
  return scope;
}
