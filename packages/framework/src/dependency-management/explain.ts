/** Why there is no plan: a minimal set of facts (without any one of them there would be one), and what would fit instead. */
import type { Explanation } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { tellFacts } from './facts.ts';
import type { Fact, Problem } from './problem.ts';
import type { ResolveRequest } from './request.ts';
import type { Clause } from './search.ts';
import { clausesOf, solve } from './solve.ts';
import { suggest, type Attempt } from './suggest.ts';
import { list, withRange } from './wording.ts';
import type { Work } from './work.ts';

export interface Unsolved {
  readonly problem: Problem;
  readonly request: ResolveRequest;
  readonly catalogue: Catalogue;
  readonly facts: ReadonlySet<number>;
  readonly found: readonly Clause[];
}

export interface ExplainOptions {
  /** For all searches that make the set of facts small, together. */
  readonly stepLimit: number;
  readonly attempt: Attempt;
}

export function* explain(unsolved: Unsolved, options: ExplainOptions): Work<Explanation> {
  const { problem, request, catalogue } = unsolved;
  const { core, found } = yield* minimise(unsolved, options.stepLimit);
  const facts = tellFacts({ problem, request, catalogue, core, found });
  const applications = [...core].flatMap((index) => {
    const fact = problem.facts[index] as Fact;
    return fact.kind === 'requested' ? [fact] : [];
  });
  applications.sort((a, b) => a.position - b.position);
  const names = applications.map(({ name, range }) => withRange(name, range));
  const together = names.length > 1 ? ' together' : '';
  return {
    summary: `${list(names)} cannot be installed${together} on this gateway.`,
    facts: [...facts],
    suggestions: yield* suggest(
      applications.map(({ position }) => position),
      request,
      catalogue,
      options.attempt,
    ),
  };
}

/** The search ran into its limit: neither a plan nor a proof that there is none. */
export function explainLimit({ applications }: ResolveRequest, steps: number): Explanation {
  const names = list(applications.map(({ name, range }) => withRange(name, range)));
  const text = `the search was given up after ${steps} steps; narrower ranges make it shorter`;
  return { summary: `No answer was found for ${names}.`, facts: [{ kind: 'limit', text }], suggestions: [] };
}

/** The explanation in one piece of text, as a person would say it. */
export function explanationText({ summary, facts, suggestions }: Explanation): string {
  const reasons = facts.filter(({ kind }) => kind !== 'requested');
  const said = (reasons.length > 0 ? reasons : facts).map(({ text }) => text).join('; ');
  const instead = suggestions.length > 0 ? ` What would fit: ${suggestions.join('; or ')}.` : '';
  return `${summary.replace(/\.$/, '')}: ${said}${said.endsWith('?') ? '' : '.'}${instead}`;
}

/**
 * Leaves out one fact after the other and keeps only those without which a solution appears. Requests are tried first,
 * so that what cannot be had by itself is told without the others. Past the limit the rest stays as it is: true, but
 * perhaps more than is needed.
 */
function* minimise(
  { problem, facts, found }: Unsolved,
  stepLimit: number,
): Work<{ readonly core: ReadonlySet<number>; readonly found: readonly Clause[] }> {
  let core = facts;
  let seen = found;
  let left = stepLimit;
  let narrowed: Problem = { ...problem, clauses: yield* clausesOf(problem, core) };
  const isRequest = (fact: number): number => (problem.facts[fact]?.kind === 'requested' ? 0 : 1);
  for (const fact of [...facts].toSorted((a, b) => isRequest(a) - isRequest(b) || b - a)) {
    if (left <= 0) break;
    if (!core.has(fact)) continue;
    const others = new Set([...core].filter((other) => other !== fact));
    const result = yield* solve(narrowed, { stepLimit: left, facts: others });
    left -= result.steps;
    if (result.kind !== 'none') continue;
    core = result.facts;
    seen = result.found;
    narrowed = { ...problem, clauses: yield* clausesOf(narrowed, core) };
  }
  return { core, found: seen };
}
