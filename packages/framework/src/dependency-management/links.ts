/**
 * Says for all versions of an artifact at once what each of them says alone: "whatever version of A is there, it needs
 * some B". Follows from the other clauses, but only after a version was tried; with it, circles and sums that no choice
 * of versions can avoid are seen before any is tried.
 */
import type { ArtifactName } from '@leonore/protocol';
import type { Demand, Fact, Link, Need, Problem } from './problem.ts';
import { no, NONE, yes, type Clause } from './search.ts';
import type { Work } from './work.ts';

export interface Encoded extends Pick<Problem, 'facts' | 'needs' | 'versions' | 'demands'> {
  /** By candidate the fact that rules it out, when one does. */
  readonly blocks: readonly (number | undefined)[];
}

export interface Sink {
  readonly clauses: Clause[];
  readonly nextVariable: () => number;
  readonly demandOf: (kind: Demand['kind'], target: string, list: readonly number[]) => Demand;
}

/** By fact. Adds the clauses that make them. */
export function* addLinks(encoded: Encoded, sink: Sink): Work<ReadonlyMap<number, Link>> {
  const links = new Map<number, Link>();
  for (const [fact, users] of yield* usersByFact(encoded)) {
    if (users.length > 1) links.set(fact, addLink(fact, users, encoded, sink));
    yield users.length * 10;
  }
  for (const demand of encoded.demands.values()) {
    if (demand.kind === 'artifact') addCommonNeeds(demand, links, encoded, sink.clauses);
    yield demand.candidates.length * 10;
  }
  return links;
}

function addLink(fact: number, users: readonly number[], { needs, versions }: Encoded, sink: Sink): Link {
  const variable = sink.nextVariable();
  for (const user of users) sink.clauses.push({ literals: [no(user), yes(variable)], facts: [fact] });
  const wanted = users.flatMap((user) => needs[user]?.find((need) => need.fact === fact)?.demand ?? []);
  const target = wanted[0]?.target ?? '';
  const any = new Set(wanted.flatMap(({ candidates }) => candidates));
  const list = (versions.get(target as ArtifactName) ?? []).filter((one) => any.has(one));
  const demand = sink.demandOf('artifact', target, list);
  sink.clauses.push({ literals: [no(variable), yes(demand.variable)], facts: NONE });
  return { variable, demand };
}

/** What all candidates of a demand need that are not out of the question, the demand itself brings along. */
function addCommonNeeds(
  { variable, candidates }: Demand,
  links: ReadonlyMap<number, Link>,
  { needs, blocks }: Encoded,
  clauses: Clause[],
): void {
  const [first, ...others] = candidates.filter((one) => blocks[one] === undefined);
  if (first === undefined) return;
  const because = new Set(candidates.flatMap((one) => blocks[one] ?? []));
  for (const { fact } of (needs[first] ?? []).filter(isReal)) {
    const link = links.get(fact);
    if (!link || !others.every((one) => needs[one]?.some((need) => need.fact === fact && isReal(need)))) continue;
    clauses.push({ literals: [no(variable), yes(link.variable)], facts: [fact, ...because] });
  }
}

/** By fact of kind `requires` the candidates that have the need, first to last. */
function* usersByFact({
  needs,
  facts,
}: {
  needs: Problem['needs'];
  facts: readonly Fact[];
}): Work<Map<number, number[]>> {
  const users = new Map<number, number[]>();
  for (const [variable, needed] of needs.entries()) {
    if (variable % 100 === 0) yield 1000;
    for (const { fact } of needed.filter(isReal)) {
      if (facts[fact]?.kind !== 'requires') continue;
      const known = users.get(fact);
      if (known) known.push(variable);
      else users.set(fact, [variable]);
    }
  }
  return users;
}

/** What nothing at all could meet is told by a fact of its own and has nothing in common with the needs of other versions. */
function isReal({ demand }: Need): boolean {
  return demand.candidates.length > 0;
}
