/** Searches a problem, whole or with only some of its facts in force: what to decide next, budgets, order. */
import { overspent } from './budget.ts';
import { orderOf } from './order.ts';
import type { Demand, Need, Problem } from './problem.ts';
import { no, search, yes, type Clause, type SearchResult, type SearchState } from './search.ts';
import { STEPS_PER_PIECE, type Work } from './work.ts';

export interface SolveOptions {
  readonly stepLimit: number;
  /** Facts in force; absent = all. */
  readonly facts?: ReadonlySet<number>;
  /** Candidates that are there in any case; what they wish for is added where it can be had. */
  readonly extend?: readonly number[];
}

/** The variables chosen (demands among them), or the facts that leave no answer. Wishes count only when extending. */
export function* solve(problem: Problem, { stepLimit, facts, extend }: SolveOptions): Work<SearchResult> {
  const inForce = (fact: number): boolean => facts?.has(fact) ?? true;
  const { demands, versions, roots, cycleFact } = problem;
  const count = problem.candidates.length - 1;
  const budgets = problem.budgets.filter(({ fact, weights }) => inForce(fact) && weights.some((weight) => weight > 0));
  const fixed = (extend ?? []).map((candidate): Clause => ({ literals: [yes(candidate)], facts: [] }));
  const rootDemands = roots.filter(({ fact }) => inForce(fact)).map(({ demand }) => demand);

  /** What nothing could ever meet is no question of order: its own facts forbid it, or they are not in force. */
  const needsOf = (variable: number): readonly Need[] =>
    (problem.needs[variable] ?? []).filter(({ fact, demand }) => inForce(fact) && demand.candidates.length > 0);

  /** What was requested in its order, then what that needs, nearest first, and what leaves a choice of artifacts last: others may bring it along. */
  function decide(state: SearchState): number {
    for (const demand of rootDemands) {
      const literal = openIn(demand, state);
      if (literal !== 0) return literal;
    }
    for (const kind of ['artifact', 'capability', 'any-of'] as const) {
      for (const variable of state.chosen) {
        const demand = variable > count ? demands.get(variable) : undefined;
        const literal = demand?.kind === kind ? openIn(demand, state) : 0;
        if (literal !== 0) return literal;
      }
    }
    return 0;
  }

  function check(state: SearchState): Clause | undefined {
    for (const budget of budgets) {
      const broken = overspent(budget, problem, state);
      if (broken) return broken;
    }
    return undefined;
  }

  function complete(state: SearchState): 'accept' | number | Clause {
    if (!inForce(cycleFact)) return 'accept';
    const chosen = new Set(state.chosen.filter((variable) => variable <= count));
    const order = orderOf(chosen, needsOf);
    if (order.kind === 'stuck') return breakUp(order.members, problem, state);
    return (extend && openWish(state)) || 'accept';
  }

  /** All that is needed is there and in order: what comes now can only be added. */
  function openWish(state: SearchState): number {
    for (const variable of state.chosen) {
      for (const wish of problem.wishes[variable] ?? []) {
        const literal = openIn(wish, state);
        if (literal !== 0) return literal;
      }
    }
    return 0;
  }

  const clauses = extend ? [...fixed, ...problem.clauses] : facts ? yield* clausesOf(problem, facts) : problem.clauses;
  return yield* search({
    variables: problem.variables,
    groups: [...versions.values()],
    clauses,
    decide,
    check,
    complete,
    stepLimit,
  });
}

/** Those that stand on the facts in force and speak of what these facts can lead to; the others hold whatever is chosen. */
export function* clausesOf(
  { clauses, roots, needs, links }: Problem,
  facts: ReadonlySet<number>,
): Work<readonly Clause[]> {
  const reached = new Set<number>();
  const enter = ({ demand, fact }: Need): void => {
    if (!facts.has(fact)) return;
    const link = links.get(fact);
    if (link) reached.add(link.variable);
    for (const one of link ? [demand, link.demand] : [demand]) {
      reached.add(one.variable);
      for (const candidate of one.candidates) reached.add(candidate);
    }
  };
  roots.forEach(enter);
  for (const variable of reached) needs[variable]?.forEach(enter);
  yield reached.size;
  const inForce: Clause[] = [];
  for (const [index, clause] of clauses.entries()) {
    if (index % STEPS_PER_PIECE === 0) yield STEPS_PER_PIECE;
    if (!clause.facts.every((fact) => facts.has(fact))) continue;
    if (clause.literals.every((literal) => (literal & 1) === 0 || reached.has(literal >> 1))) inForce.push(clause);
  }
  return inForce;
}

/** The best candidate still open, 0 when one is chosen already. */
function openIn(demand: Pick<Demand, 'candidates'>, state: SearchState): number {
  let best = 0;
  for (const candidate of demand.candidates) {
    const value = state.value(candidate);
    if (value === 1) return 0;
    if (value === 0 && best === 0) best = yes(candidate);
  }
  return best;
}

/**
 * Not all of the members can be there unless something from outside meets one of their needs: takes that, or says so.
 * A member that needs another artifact is spoken of by its link, which holds for all its versions that need it.
 */
function breakUp(
  members: ReadonlyMap<number, Need>,
  { candidates, links, cycleFact }: Problem,
  state: SearchState,
): number | Clause {
  const names = new Set([...members.keys()].map((member) => candidates[member]?.name));
  const outside = new Set<number>();
  const literals: number[] = [];
  const facts = [cycleFact];
  for (const [member, { demand, fact }] of members) {
    const link = links.get(fact);
    if (link) {
      literals.push(no(link.variable));
      continue;
    }
    literals.push(no(member));
    facts.push(fact);
    for (const one of demand.candidates) if (!names.has(candidates[one]?.name)) outside.add(one);
  }
  for (const one of outside) if (state.value(one) === 0) return yes(one);
  return { literals: [...literals, ...[...outside].map(yes)], facts, evidence: [...members.keys()] };
}
