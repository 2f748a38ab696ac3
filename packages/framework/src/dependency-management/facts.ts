/** Facts as data and in words, in the order in which one leads to the next. */
import type { ExplanationFact } from '@leonore/protocol';
import type { Fact } from './problem.ts';
import { scopeOf, type FactContext } from './scope.ts';
import { tell } from './sentences.ts';

export function tellFacts(context: FactContext): readonly ExplanationFact[] {
  const { problem, core } = context;
  const scope = scopeOf(context);
  const places = new Map([...scope.keys()].map((name, index) => [name, index]));
  const place = (fact: Fact): number => {
    if (fact.kind === 'requested') return -1;
    if (LAST.has(fact.kind) || !('name' in fact)) return places.size + 1;
    return places.get(fact.name) ?? places.size;
  };
  return [...core]
    .toSorted((a, b) => a - b)
    .map((index) => ({ index, fact: problem.facts[index] as Fact }))
    .toSorted((a, b) => place(a.fact) - place(b.fact) || KINDS.indexOf(a.fact.kind) - KINDS.indexOf(b.fact.kind))
    .map(({ fact, index }) => tell(fact, index, scope, context));
}

/** They speak of what the others led to. */
const LAST: ReadonlySet<Fact['kind']> = new Set(['optional', 'conflict', 'resource', 'cycle']);
const KINDS: readonly Fact['kind'][] = [
  'requested',
  'absent',
  'platform',
  'withdrawn',
  'requires',
  'capability',
  'any-of',
  'optional',
  'conflict',
  'resource',
  'cycle',
];
