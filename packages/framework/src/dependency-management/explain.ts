/** Why there is no plan: a minimal set of facts (without any one of them there would be one), and what would fit instead. */
import type { ApplicationRequest, Explanation, ExplanationFact, InstallPlan, PlanStep } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { tellFacts } from './facts.ts';
import type { Fact, Problem } from './problem.ts';
import type { ResolveRequest } from './request.ts';
import type { Clause } from './search.ts';
import { clausesOf, solve } from './solve.ts';
import { list, nearNames, withRange } from './wording.ts';

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
  /** Plans another request, to see whether it would do. */
  readonly attempt: (request: ResolveRequest) => InstallPlan | undefined;
}

export function explain(unsolved: Unsolved, options: ExplainOptions): Explanation {
  const { problem, request, catalogue } = unsolved;
  const { core, found } = minimise(unsolved, options.stepLimit);
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
    suggestions: suggest(request, new Set(applications.map(({ position }) => position)), facts, catalogue, options),
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
  const said = facts.filter(({ kind }) => kind !== 'requested').map(({ text }) => text);
  const reasons = said.length > 0 ? ` ${said.join('; ')}.` : '';
  const instead = suggestions.length > 0 ? ` What would fit: ${suggestions.join('; or ')}.` : '';
  return `${summary}${reasons.replace(/\?\.$/, '?')}${instead}`;
}

/**
 * Leaves out one fact after the other and keeps only those without which a solution appears. Requests are tried first,
 * so that what cannot be had by itself is told without the others. Past the limit the rest stays as it is: true, but
 * perhaps more than is needed.
 */
function minimise(
  { problem, facts, found }: Unsolved,
  stepLimit: number,
): { readonly core: ReadonlySet<number>; readonly found: readonly Clause[] } {
  let core = facts;
  let seen = found;
  let left = stepLimit;
  let narrowed: Problem = { ...problem, clauses: clausesOf(problem, core) };
  const isRequest = (fact: number): number => (problem.facts[fact]?.kind === 'requested' ? 0 : 1);
  for (const fact of [...facts].toSorted((a, b) => isRequest(a) - isRequest(b) || b - a)) {
    if (left <= 0) break;
    if (!core.has(fact)) continue;
    const result = solve(narrowed, { stepLimit: left, facts: new Set([...core].filter((other) => other !== fact)) });
    left -= result.steps;
    if (result.kind !== 'none') continue;
    core = result.facts;
    seen = result.found;
    narrowed = { ...problem, clauses: clausesOf(narrowed, core) };
  }
  return { core, found: seen };
}

/** Any version of one of the applications in question, then of all of them, then without one; nearly right names first. */
function suggest(
  request: ResolveRequest,
  positions: ReadonlySet<number>,
  facts: readonly ExplanationFact[],
  catalogue: Catalogue,
  { attempt }: ExplainOptions,
): string[] {
  const { applications } = request;
  const suggestions = new Set<string>();
  const tryOut = (changed: readonly ApplicationRequest[], words: (plan: InstallPlan) => string): boolean => {
    const plan = attempt({ ...request, applications: changed });
    if (plan) suggestions.add(words(plan));
    return plan !== undefined;
  };
  const change = (which: (position: number) => boolean, to: Partial<ApplicationRequest>) =>
    applications.map((application, position) => (which(position) ? { ...application, ...to } : application));

  for (const position of positions) {
    const { name, range } = applications[position] as ApplicationRequest;
    const unknown = facts.some((fact) => fact.kind === 'unknown' && fact.subject === name);
    for (const near of unknown ? nearNames(name, catalogue.names) : []) {
      const other = near as ApplicationRequest['name'];
      tryOut(
        change((at) => at === position, { name: other }),
        (plan) => withDependencies([other], plan),
      );
    }
    if (unknown || range === '*') continue;
    tryOut(
      change((at) => applications[at]?.name === name, { range: '*' }),
      (plan) => withDependencies([name], plan),
    );
  }
  if (suggestions.size > 0 || positions.size < 2) return [...suggestions];

  const names = [...positions].map((position) => (applications[position] as ApplicationRequest).name);
  const all = change((at) => positions.has(at), { range: '*' });
  if (tryOut(all, (plan) => withDependencies(names, plan))) return [...suggestions];
  for (const left of new Set(names)) {
    const others = names.filter((name) => name !== left);
    tryOut(
      applications.filter(({ name }) => name !== left),
      (plan) => `without ${left}: ${withDependencies(others, plan)}`,
    );
  }
  return [...suggestions];
}

/** `building-monitor 1.4.2 with svm 1.2.28`. */
function withDependencies(names: readonly string[], { steps }: InstallPlan): string {
  const byName = new Map<string, PlanStep>(steps.map((step) => [step.name, step]));
  const needed = new Set(names);
  for (const name of needed) for (const other of byName.get(name)?.after ?? []) needed.add(other);
  const label = (name: string): string => `${name} ${byName.get(name)?.version}`;
  const dependencies = [...needed].filter((name) => !names.includes(name)).map(label);
  const subject = list(names.map(label));
  return dependencies.length > 0 ? `${subject} with ${list(dependencies)}` : subject;
}
