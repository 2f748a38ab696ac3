/**
 * Can a set of components be installed one after another, each when all it needs is there? Of several that could meet a
 * need one is enough, so this is more than looking for cycles: components that only hold each other up are a set
 * of which each has a need that nothing outside the set meets.
 */
import type { Need } from './problem.ts';

export type Order =
  | { readonly kind: 'ordered'; readonly sequence: readonly number[] }
  /** Each member with its need that only other members meet. */
  | { readonly kind: 'stuck'; readonly members: ReadonlyMap<number, Need> };

export function orderOf(chosen: ReadonlySet<number>, needsOf: (component: number) => readonly Need[]): Order {
  const placed = new Set<number>();
  let waiting = [...chosen];
  for (let before = -1; before !== placed.size; ) {
    before = placed.size;
    waiting = waiting.filter((component) => {
      const ready = needsOf(component).every(({ demand }) => demand.candidates.some((one) => placed.has(one)));
      if (ready) placed.add(component);
      return !ready;
    });
  }
  if (waiting.length === 0) return { kind: 'ordered', sequence: [...placed] };

  const blocking = new Map<number, Need>();
  for (const component of waiting) {
    const unmet = needsOf(component).filter(({ demand }) => !demand.candidates.some((one) => placed.has(one)));
    const choices = ({ demand }: Need) => demand.candidates.filter((one) => chosen.has(one)).length;
    blocking.set(
      component,
      unmet.reduce((best, need) => (choices(need) < choices(best) ? need : best)),
    );
  }
  return { kind: 'stuck', members: smallestClosedSet(blocking, chosen) };
}

function smallestClosedSet(blocking: ReadonlyMap<number, Need>, chosen: ReadonlySet<number>): Map<number, Need> {
  let smallest: Set<number> | undefined;
  for (const start of blocking.keys()) {
    const closure = new Set([start]);
    for (const component of closure) {
      for (const one of blocking.get(component)?.demand.candidates ?? []) if (chosen.has(one)) closure.add(one);
    }
    if (!smallest || closure.size < smallest.size) smallest = closure;
  }
  return new Map([...(smallest ?? [])].map((component) => [component, blocking.get(component) as Need]));
}
