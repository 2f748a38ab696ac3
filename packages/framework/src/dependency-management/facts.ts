/** Facts in words. Each text is true by itself and speaks of those versions only that come into question. */
import type { ExplanationFact } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { provided, type Candidate } from './candidates.ts';
import type { Fact, Need, Problem } from './problem.ts';
import { own } from './ranges.ts';
import type { ResolveRequest } from './request.ts';
import type { Clause } from './search.ts';
import { bytes, list, nearNames, platformMismatch, versionList, withRange } from './wording.ts';

export interface FactContext {
  readonly problem: Problem;
  readonly request: ResolveRequest;
  readonly catalogue: Catalogue;
  /** Indices of the facts to be told. */
  readonly core: ReadonlySet<number>;
  /** Cycles and overspent budgets that showed up. */
  readonly found: readonly Clause[];
}

/** The facts of the core, in the order in which one leads to the next. */
export function tellFacts(context: FactContext): readonly ExplanationFact[] {
  const { problem, core } = context;
  const scope = scopeOf(context);
  const places = new Map([...scope.keys()].map((name, index) => [name, index]));
  const place = (fact: Fact): number => {
    if (fact.kind === 'requested') return -1;
    if (fact.kind === 'resource' || fact.kind === 'cycle' || fact.kind === 'conflict') return places.size + 1;
    return places.get(fact.name) ?? places.size;
  };
  return [...core]
    .toSorted((a, b) => a - b)
    .map((index) => ({ index, fact: problem.facts[index] as Fact }))
    .toSorted((a, b) => place(a.fact) - place(b.fact) || KINDS.indexOf(a.fact.kind) - KINDS.indexOf(b.fact.kind))
    .map(({ fact, index }) => tell(fact, index, scope, context));
}

const KINDS: readonly Fact['kind'][] = [
  'requested',
  'absent',
  'platform',
  'withdrawn',
  'requires',
  'capability',
  'conflict',
  'resource',
  'cycle',
];

/** By name the versions that the facts of the core leave in question, nearest to the request first. */
type Scope = ReadonlyMap<string, ReadonlySet<number>>;

function scopeOf({ problem, core }: FactContext): Scope {
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

function tell(fact: Fact, index: number, scope: Scope, context: FactContext): ExplanationFact {
  const { problem, request } = context;
  const inScope = (name: string): readonly Candidate[] =>
    [...(scope.get(name) ?? [])].map((one) => problem.candidates[one] as Candidate);
  switch (fact.kind) {
    case 'requested':
      return {
        kind: 'requested',
        text: `${withRange(fact.name, fact.range)} is requested`,
        subject: fact.name,
        object: fact.range,
      };
    case 'absent':
      return fact.known ? tellNoVersion(fact, context) : tellUnknown(fact, context);
    case 'platform': {
      const some = inScope(fact.name).filter(({ blocked }) => blocked === 'platform');
      const versions = versionList(some, allOf(fact.name, context));
      const builds = some.flatMap((candidate) => candidate.builds);
      const { needs, has } = platformMismatch(builds, request.platform, versions.several);
      return {
        kind: 'platform',
        text: `${fact.name} ${versions.text} ${needs}; the gateway ${has}`,
        subject: fact.name,
      };
    }
    case 'withdrawn': {
      const some = inScope(fact.name).filter(({ blocked }) => blocked === 'withdrawn');
      const versions = versionList(some, allOf(fact.name, context));
      const reasons = new Set(some.flatMap(({ builds }) => builds.flatMap((build) => build.withdrawnReason ?? [])));
      const why = reasons.size > 0 ? ` (${list([...reasons].toSorted())})` : '';
      const text = `${fact.name} ${versions.text} ${versions.several ? 'were' : 'was'} withdrawn${why}`;
      return { kind: 'withdrawn', text, subject: fact.name };
    }
    case 'requires': {
      const text = tellNeeds(fact.name, index, inScope(fact.name), context);
      return { kind: 'requires', text, subject: fact.name, object: fact.target };
    }
    case 'capability': {
      const needs = tellNeeds(fact.name, index, inScope(fact.name), context);
      const text = `${needs}; ${tellProviders(fact, index, inScope(fact.name), context)}`;
      return { kind: 'capability', text, subject: fact.name, object: fact.target };
    }
    case 'conflict': {
      const text = tellConflict(fact, inScope(fact.name), context);
      return { kind: 'conflict', text, subject: fact.name, object: fact.target };
    }
    case 'resource':
      return { kind: 'resource', text: tellBudget(index, context), subject: fact.resource };
    case 'cycle':
      return { kind: 'cycle', text: tellCycles(context) };
    default:
      return fact satisfies never;
  }
}

function allOf(name: string, { problem }: FactContext): readonly Candidate[] {
  const variables = [...problem.versions].find(([known]) => known === name)?.[1] ?? [];
  return variables.map((one) => problem.candidates[one] as Candidate);
}

function tellUnknown(fact: Fact & { kind: 'absent' }, { catalogue }: FactContext): ExplanationFact {
  const near = nearNames(fact.name, catalogue.names);
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '';
  return { kind: 'unknown', text: `there is no artifact ${fact.name}${hint}`, subject: fact.name };
}

function tellNoVersion(fact: Fact & { kind: 'absent' }, context: FactContext): ExplanationFact {
  const { ranges } = context.catalogue;
  const all = allOf(fact.name, context).toSorted((a, b) => b.parsed.compare(a.parsed));
  const early = all.filter(({ parsed }) => parsed.prerelease.length > 0 && ranges.covers(parsed, fact.range));
  const exists = list(all.map(({ version }) => version));
  const [first] = early;
  const text = first
    ? `${withRange(fact.name, fact.range)} is met by pre-releases only (${list(early.map(({ version }) => version))}), ` +
      `which must be asked for by name, such as ${fact.name}@${first.version}`
    : `${fact.name} has no version ${fact.range}; there ${all.length > 1 ? 'are' : 'is'} ${exists}`;
  return { kind: 'no-version', text, subject: fact.name, object: fact.range };
}

/** By range the versions that have it, the range of the newest version first. */
function rangesOf(
  fact: number,
  some: readonly Candidate[],
  { problem }: FactContext,
): readonly { readonly need: Need; readonly versions: readonly Candidate[] }[] {
  const byRange = new Map<string, { need: Need; versions: Candidate[] }>();
  for (const candidate of some.toSorted((a, b) => b.parsed.compare(a.parsed))) {
    const variable = problem.candidates.indexOf(candidate);
    const need = problem.needs[variable]?.find((one) => one.fact === fact);
    if (!need) continue;
    const group = byRange.get(need.range) ?? { need, versions: [] };
    group.versions.push(candidate);
    byRange.set(need.range, group);
  }
  return [...byRange.values()];
}

/** `a 2.1.0 needs b >=2, a 1.x needs b ^1`. */
function tellNeeds(name: string, fact: number, some: readonly Candidate[], context: FactContext): string {
  const groups = rangesOf(fact, some, context);
  const parts = groups.map(({ need, versions }) => {
    const subject = versionList(versions, allOf(name, context));
    return `${name} ${subject.text} ${subject.several ? 'need' : 'needs'} ${withRange(need.demand.target, need.range)}`;
  });
  return list(parts);
}

/** What the gateway has of a capability, and who else would bring it. */
function tellProviders(
  fact: Fact & { kind: 'capability' },
  index: number,
  some: readonly Candidate[],
  context: FactContext,
): string {
  const { request, catalogue, problem } = context;
  const has = own(request.capabilities, fact.target);
  const gateway = has === undefined ? `the gateway has no ${fact.target}` : `the gateway has ${fact.target} ${has}`;
  const useful = new Set(rangesOf(index, some, context).flatMap(({ need }) => need.demand.candidates));
  const providers = catalogue.providers(fact.target).filter((name) => name !== fact.name);
  const label = (candidate: Candidate): string => `${candidate.name} ${candidate.version}`;
  const newest = providers.flatMap((name) => {
    const bringing = allOf(name, context).filter((candidate) => provided(candidate, fact.target));
    const fitting = bringing.filter((candidate) => useful.has(problem.candidates.indexOf(candidate)));
    return (fitting[0] ?? bringing[0]) ? [{ fitting: fitting[0], other: bringing[0] }] : [];
  });
  const fitting = newest.flatMap((one) => one.fitting ?? []);
  if (fitting.length > 0) return `${gateway}; ${list(fitting.map(label))} would provide it`;
  const others = newest.flatMap(({ other }) => other ?? []);
  if (others.length === 0) return `${gateway} and no artifact provides it`;
  const said = others.map((one) => `${label(one)} provides ${fact.target} ${provided(one, fact.target)?.version}`);
  return `${gateway}; ${list(said)}`;
}

function tellConflict(fact: Fact & { kind: 'conflict' }, some: readonly Candidate[], context: FactContext): string {
  const byRange = new Map<string, Candidate[]>();
  for (const candidate of some.toSorted((a, b) => b.parsed.compare(a.parsed))) {
    const range = own(candidate.artifact?.manifest.conflicts ?? {}, fact.target);
    if (range !== undefined) byRange.set(range, [...(byRange.get(range) ?? []), candidate]);
  }
  const parts = [...byRange].map(([range, versions]) => {
    const subject = versionList(versions, allOf(fact.name, context));
    return `${fact.name} ${subject.text} ${subject.several ? 'conflict' : 'conflicts'} with ${withRange(fact.target, range)}`;
  });
  return list(parts);
}

/** The smallest sum that was met. */
function tellBudget(index: number, { problem, found }: FactContext): string {
  const budget = problem.budgets.find(({ fact }) => fact === index);
  if (!budget) return '';
  const sums = found
    .filter(({ facts }) => facts.includes(index))
    .map(({ evidence = [] }) => ({
      parts: evidence.map((one) => ({
        candidate: problem.candidates[one] as Candidate,
        weight: budget.weights[one] ?? 0,
      })),
      sum: evidence.reduce((sum, one) => sum + (budget.weights[one] ?? 0), 0),
    }))
    .toSorted((a, b) => a.sum - b.sum);
  const [least] = sums;
  if (!least)
    return `what is requested needs more ${budget.resource} than the gateway has (${bytes(budget.available)})`;
  const said = least.parts.map(({ candidate, weight }) => `${candidate.name} ${candidate.version} (${bytes(weight)})`);
  const sum =
    least.parts.length > 1
      ? ` need ${bytes(least.sum)} of ${budget.resource} together`
      : ` needs that much ${budget.resource}`;
  const has = budget.resource === 'disk' ? 'has room for' : 'has';
  return `${list(said)}${sum}; the gateway ${has} ${bytes(budget.available)}`;
}

/** `a 1.0.0 needs b 1.0.0, which needs a 1.0.0`. */
function tellCycles({ problem, found }: FactContext): string {
  const labelOf = (one: number): string => `${problem.candidates[one]?.name} ${problem.candidates[one]?.version}`;
  const cycles = found
    .filter(({ facts }) => facts.includes(problem.cycleFact))
    .map(({ evidence = [] }) => {
      const inside = new Set(evidence);
      const seen: number[] = [];
      // Each member has a need that only members meet, so following them comes round.
      for (let one = Math.min(...evidence); !seen.includes(one); ) {
        seen.push(one);
        const next = (problem.needs[one] ?? []).flatMap(({ demand }) => demand.candidates).find((by) => inside.has(by));
        if (next === undefined) break;
        one = next;
      }
      return [...seen, seen[0] ?? 0].map(labelOf).join(', which needs ').replace(', which', '');
    });
  return `${list([...new Set(cycles)])}: in a circle, so none of them can be installed first`;
}
