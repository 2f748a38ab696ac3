/** A fact in words. Each text is true by itself and speaks of those versions only that come into question. */
import type { ArtifactManifest, ArtifactName, ExplanationFact } from '@leonore/protocol';
import { providedTexts, type Candidate } from './candidates.ts';
import type { Fact, Need, Problem } from './problem.ts';
import { own } from './ranges.ts';
import type { FactContext, Scope } from './scope.ts';
import { alternativesText, bytes, list, nearNames, platformMismatch, versionList, withRange } from './wording.ts';

export function tell(fact: Fact, index: number, scope: Scope, context: FactContext): ExplanationFact {
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
      return fact.known ? tellNoVersion(fact.name, scope, context) : tellUnknown(fact.name, context);
    case 'platform': {
      const some = inScope(fact.name).filter(({ blocked }) => blocked === 'platform');
      const versions = versionList(some, allOf(fact.name, context));
      const builds = some.flatMap((candidate) => candidate.builds);
      const { needs, has } = platformMismatch(builds, request, versions.several);
      return {
        kind: 'platform',
        text: `${fact.name} ${versions.text} ${needs}; ${has}`,
        subject: fact.name,
      };
    }
    case 'withdrawn': {
      const some = inScope(fact.name).filter(({ blocked }) => blocked === 'withdrawn');
      const versions = versionList(some, allOf(fact.name, context));
      const reasons = new Set(some.flatMap(({ builds }) => builds.flatMap((build) => build.withdrawnReason ?? [])));
      const why = reasons.size > 0 ? ` (${[...reasons].toSorted().join('; ')})` : '';
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
    case 'any-of': {
      const groups = rangesOf(index, inScope(fact.name), context);
      const subject = versionList(
        groups.flatMap(({ versions }) => versions),
        allOf(fact.name, context),
      );
      const needs = `${fact.name} ${subject.text} ${subject.several ? 'need' : 'needs'} ${fact.target}`;
      const text = [needs, ...tellAlternatives(fact, index, inScope(fact.name), context)].join('; ');
      return { kind: 'any-of', text, subject: fact.name, object: fact.target };
    }
    case 'optional': {
      const text = tellOptional(fact, inScope(fact.name), context);
      return { kind: 'optional', text, subject: fact.name, object: fact.target };
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
  const variables = problem.versions.get(name as ArtifactName) ?? [];
  return variables.map((one) => problem.candidates[one] as Candidate);
}

function tellUnknown(name: string, { catalogue }: FactContext): ExplanationFact {
  const near = nearNames(name, catalogue.names);
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '';
  return { kind: 'unknown', text: `there is no artifact ${name}${hint}`, subject: name };
}

function tellNoVersion(name: string, scope: Scope, context: FactContext): ExplanationFact {
  const { problem, core, catalogue } = context;
  const inScope = [...scope.values()].flatMap((some) => [...some]).flatMap((one) => problem.needs[one] ?? []);
  const missing = [...problem.roots, ...inScope]
    .filter(({ fact, demand }) => core.has(fact) && demand.target === name && demand.kind === 'artifact')
    .filter(({ demand }) => demand.candidates.length === 0);
  const ranges = [...new Set(missing.map(({ range }) => range))];
  const all = newestFirst(allOf(name, context));
  const early = all.filter(
    ({ parsed }) => parsed.prerelease.length > 0 && ranges.some((range) => catalogue.ranges.covers(parsed, range)),
  );
  const but =
    early.length > 0
      ? ` but pre-releases (${list(early.map(({ version }) => version))}), which only a range that names one takes`
      : '';
  const others = all.filter((one) => !early.includes(one)).map(({ version }) => version);
  const exists = others.length > 0 ? `; there ${others.length > 1 ? 'are' : 'is'} ${list(others)}` : '';
  return { kind: 'no-version', text: `${name} has no version ${list(ranges)}${but}${exists}`, subject: name };
}

/** By range the versions that have it, the range of the newest version first. */
function rangesOf(
  fact: number,
  some: readonly Candidate[],
  { problem }: FactContext,
): readonly { readonly need: Need; readonly versions: readonly Candidate[] }[] {
  const byRange = new Map<string, { need: Need; versions: Candidate[] }>();
  for (const candidate of newestFirst(some)) {
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
  { name, target }: { readonly name: string; readonly target: string },
  index: number,
  some: readonly Candidate[],
  context: FactContext,
): string {
  const { request, catalogue, problem } = context;
  const has = own(request.capabilities, target);
  const gateway = has === undefined ? `the gateway has no ${target}` : `the gateway has ${target} ${has}`;
  const useful = new Set(rangesOf(index, some, context).flatMap(({ need }) => need.demand.candidates));
  const fitting: string[] = [];
  const others: string[] = [];
  for (const provider of catalogue.providers(target)) {
    const variables = problem.versions.get(provider) ?? [];
    const best = variables.find((one) => useful.has(one));
    const other = variables.find((one) => providedTexts(problem.candidates[one] as Candidate, target).length > 0);
    if (best !== undefined) fitting.push(label(problem, best));
    else if (other !== undefined && provider !== name) {
      const [text] = providedTexts(problem.candidates[other] as Candidate, target);
      others.push(`${label(problem, other)} provides ${target} ${text}`);
    }
  }
  if (fitting.length > 0) return `${gateway}; ${list(fitting)} would provide it`;
  return others.length > 0 ? `${gateway}; ${list(others)}` : `${gateway} and no artifact provides it`;
}

/** What there is of each alternative. */
function tellAlternatives(
  { name, target }: Fact & { kind: 'any-of' },
  index: number,
  some: readonly Candidate[],
  context: FactContext,
): string[] {
  const { catalogue, problem } = context;
  const [one] = rangesOf(index, some, context).flatMap(({ versions }) => versions);
  const lists = one?.artifact?.manifest.requires.anyOf ?? [];
  const alternatives = lists.find((list) => alternativesText(list) === target) ?? [];
  const parts = alternatives.map(({ artifact, capability, range }) => {
    if (artifact === undefined) return tellProviders({ name, target: capability ?? '' }, index, some, context);
    const variables = problem.versions.get(artifact) ?? [];
    if (variables.length === 0) return `there is no artifact ${artifact}`;
    const would = variables.find((each) =>
      catalogue.ranges.fits((problem.candidates[each] as Candidate).parsed, range),
    );
    return would === undefined
      ? `${artifact} has no version ${range}`
      : `${withRange(artifact, range)} would be ${label(problem, would)}`;
  });
  return [...new Set(parts)];
}

/** `a 1.0.0 takes b only as ^2`. */
function tellOptional(fact: Fact & { kind: 'optional' }, some: readonly Candidate[], context: FactContext): string {
  return tellByRange(
    fact.name,
    some,
    ({ requires }) => own(requires.optional ?? {}, fact.target),
    (range, several) => `${several ? 'work' : 'works'} with ${fact.target} only in ${range}`,
    context,
  );
}

function tellConflict(fact: Fact & { kind: 'conflict' }, some: readonly Candidate[], context: FactContext): string {
  return tellByRange(
    fact.name,
    some,
    ({ conflicts }) => own(conflicts, fact.target),
    (range, several) => `${several ? 'conflict' : 'conflicts'} with ${withRange(fact.target, range)}`,
    context,
  );
}

/** `a 2.x VERB RANGE, a 1.0.0 VERB OTHER-RANGE`. */
function tellByRange(
  name: string,
  some: readonly Candidate[],
  rangeIn: (manifest: ArtifactManifest) => string | undefined,
  verb: (range: string, several: boolean) => string,
  context: FactContext,
): string {
  const byRange = new Map<string, Candidate[]>();
  for (const candidate of newestFirst(some)) {
    const range = candidate.artifact && rangeIn(candidate.artifact.manifest);
    if (range !== undefined) byRange.set(range, [...(byRange.get(range) ?? []), candidate]);
  }
  const parts = [...byRange].map(([range, versions]) => {
    const subject = versionList(versions, allOf(name, context));
    return `${name} ${subject.text} ${verb(range, subject.several)}`;
  });
  return list(parts);
}

/** The smallest sum that was met. */
function tellBudget(index: number, { problem, found }: FactContext): string {
  const budget = problem.budgets.find(({ fact }) => fact === index);
  if (!budget) return '';
  const { resource, available, weights } = budget;
  const [least] = found
    .filter(({ facts }) => facts.includes(index))
    .map(({ evidence = [] }) => ({ evidence, sum: evidence.reduce((sum, one) => sum + (weights[one] ?? 0), 0) }))
    .toSorted((a, b) => a.sum - b.sum);
  if (!least) return `the gateway has ${bytes(available)} of ${resource}, which is not enough`;
  const has = `the gateway has ${bytes(available, least.sum)}${resource === 'disk' ? ' free' : ''}`;
  const sum = `at least ${bytes(least.sum, available)} of ${resource}`;
  const { evidence } = least;
  if (evidence.length === 1) return `${list(evidence.map((one) => label(problem, one)))} needs ${sum}; ${has}`;
  const parts = evidence.map((one) => `${label(problem, one)} (${bytes(weights[one] ?? 0)})`);
  return `${list(parts)} need ${sum} together; ${has}`;
}

/** `a 1.0.0 -> b 1.0.0 -> a 1.0.0 is a circle: ...` */
function tellCycles({ problem, found, core }: FactContext): string {
  const cycles = found
    .filter(({ facts }) => facts.includes(problem.cycleFact))
    .map(({ evidence = [] }) => {
      const inside = new Set(evidence);
      const walked: number[] = [];
      // Each member has a need that only members meet, so following these comes round.
      let one = Math.min(...evidence);
      while (!walked.includes(one)) {
        walked.push(one);
        const needs = (problem.needs[one] ?? []).filter(({ fact }) => core.has(fact));
        one = needs.flatMap(({ demand }) => demand.candidates).find((by) => inside.has(by)) ?? one;
      }
      const circle = walked.slice(walked.indexOf(one));
      return [...circle, one].map((member) => label(problem, member)).join(' -> ');
    });
  const different = [...new Set(cycles)];
  const is = different.length > 1 ? 'are circles' : 'is a circle';
  return `${list(different)} ${is}: none of them can be installed first`;
}

function label({ candidates }: Problem, variable: number): string {
  return `${candidates[variable]?.name} ${candidates[variable]?.version}`;
}

function newestFirst(some: readonly Candidate[]): readonly Candidate[] {
  return some.toSorted((a, b) => b.parsed.compare(a.parsed));
}
