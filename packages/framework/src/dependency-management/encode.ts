/**
 * Puts a request into clauses. Requirements with the same list of candidates share one demand, so that what is learned
 * about it serves all of them.
 */
import type { ArtifactName } from '@leonore/protocol';
import { gatewayMeets, isMet, reachable, type Candidate } from './candidates.ts';
import type { Catalogue } from './catalogue.ts';
import { weightOf } from './budget.ts';
import { addLinks } from './links.ts';
import type { Margins } from './margins.ts';
import type { Budget, Demand, Fact, Need, Problem, Wish } from './problem.ts';
import { alternativesOf, providersOf } from './providers.ts';
import type { ResolveRequest } from './request.ts';
import { no, NONE, yes, type Clause } from './search.ts';
import { alternativesText } from './wording.ts';
import type { Work } from './work.ts';

export function* createProblem(request: ResolveRequest, catalogue: Catalogue, margins: Margins): Work<Problem> {
  const { candidates, versions } = yield* numbered(request, catalogue);
  const at = (variable: number): Candidate => candidates[variable] as Candidate;
  const { facts, factOf } = createFacts();
  const clauses: Clause[] = [];
  const demands = new Map<number, Demand>();
  let variables = candidates.length - 1;

  const sameDemands = new Map<string, Demand>();
  /** `missing`: the fact that says why the list is empty, when one does. */
  function demandOf(
    kind: Demand['kind'],
    target: string,
    list: readonly number[],
    missing: readonly number[] = NONE,
  ): Demand {
    const key = `${kind} ${target} ${list.join()} ${missing.join()}`;
    const same = sameDemands.get(key);
    if (same) return same;
    const demand: Demand = { variable: ++variables, kind, target, candidates: list };
    sameDemands.set(key, demand);
    demands.set(demand.variable, demand);
    clauses.push({ literals: [no(demand.variable), ...list.map(yes)], facts: missing });
    if (kind === 'artifact' && list.length > 0) {
      const inside = new Set(list);
      for (const other of versions.get(target as ArtifactName) ?? []) {
        if (!inside.has(other)) clauses.push({ literals: [no(demand.variable), no(other)], facts: NONE });
      }
    }
    return demand;
  }

  const artifactDemands = new Map<string, Demand>();
  function artifactDemand(name: ArtifactName, range: string): Demand {
    const key = `${name} ${range}`;
    let demand = artifactDemands.get(key);
    if (!demand) {
      const all = versions.get(name) ?? [];
      const known = all.length > 0;
      const list = all.filter((variable) => catalogue.ranges.fits(at(variable).parsed, range));
      const absent = (): number => factOf(`absent ${name}`, () => ({ kind: 'absent', name, known }));
      demand = demandOf('artifact', name, list, list.length > 0 ? NONE : [absent()]);
      artifactDemands.set(key, demand);
    }
    return demand;
  }

  function* needsOf(candidate: Candidate): Work<readonly Need[]> {
    if (!candidate.artifact) return [];
    const { name } = candidate;
    const { artifacts, capabilities, anyOf = [] } = candidate.artifact.manifest.requires;
    const needs: Need[] = [];
    for (const [key, range] of sortedEntries(artifacts)) {
      const target = key as ArtifactName;
      const fact = factOf(`requires ${name} ${target}`, () => ({ kind: 'requires', name, target }));
      needs.push({ demand: artifactDemand(target, range), range, fact });
    }
    for (const [target, range] of sortedEntries(capabilities)) {
      if (gatewayMeets(request, catalogue, target, range)) continue;
      const fact = factOf(`capability ${name} ${target}`, () => ({ kind: 'capability', name, target }));
      const list = yield* providersOf(candidate, target, range, { candidates, versions }, request, catalogue);
      needs.push({ demand: demandOf('capability', target, list), range, fact });
    }
    for (const alternatives of anyOf) {
      if (alternatives.some((one) => isMet(one, request, catalogue))) continue;
      const target = alternativesText(alternatives);
      const fact = factOf(`any-of ${name} ${target}`, () => ({ kind: 'any-of', name, target }));
      const list = yield* alternativesOf(candidate, alternatives, { candidates, versions }, request, catalogue);
      needs.push({ demand: demandOf('any-of', target, list), range: '*', fact });
    }
    return needs;
  }

  /** Where a wish is there for another reason, its version must be in the range all the same. */
  function addWishes(variable: number): readonly Wish[] {
    const { name, artifact } = at(variable);
    return sortedEntries(artifact?.manifest.requires.optional ?? {}).flatMap(([key, range]) => {
      const target = key as ArtifactName;
      const list: number[] = [];
      for (const other of versions.get(target) ?? []) {
        if (catalogue.ranges.fits(at(other).parsed, range)) {
          list.push(other);
          continue;
        }
        const fact = factOf(`optional ${name} ${target}`, () => ({ kind: 'optional', name, target }));
        clauses.push({ literals: [no(variable), no(other)], facts: [fact] });
      }
      return list.length > 0 ? [{ target, range, candidates: list }] : [];
    });
  }

  function addConflicts(variable: number): void {
    const { name, artifact } = at(variable);
    for (const [key, range] of sortedEntries(artifact?.manifest.conflicts ?? {})) {
      const target = key as ArtifactName;
      for (const other of versions.get(target) ?? []) {
        if (!catalogue.ranges.covers(at(other).parsed, range)) continue;
        const fact = factOf(`conflict ${name} ${target}`, () => ({ kind: 'conflict', name, target }));
        clauses.push({ literals: [no(variable), no(other)], facts: [fact] });
      }
    }
  }

  const roots = request.applications.map(({ name, range }, position): Need => {
    const fact = factOf(`requested ${position}`, () => ({ kind: 'requested', name, range, position }));
    const demand = artifactDemand(name, range);
    clauses.push({ literals: [yes(demand.variable)], facts: [fact] });
    return { demand, range, fact };
  });

  const needs: (readonly Need[])[] = [[]];
  const wishes: (readonly Wish[])[] = [[]];
  let told = 0;
  /** Why a candidate is out of the question, when it is. */
  const blocks: (number | undefined)[] = [undefined];
  for (let variable = 1; variable < candidates.length; variable++) {
    const { name, blocked } = at(variable);
    const block = blocked && factOf(`${blocked} ${name}`, () => ({ kind: blocked, name }));
    if (block !== undefined) clauses.push({ literals: [no(variable)], facts: [block] });
    blocks.push(block);
    const needed = yield* needsOf(at(variable));
    for (const { demand, fact } of needed) {
      clauses.push({ literals: [no(variable), yes(demand.variable)], facts: [fact] });
    }
    needs.push(needed);
    addConflicts(variable);
    wishes.push(addWishes(variable));
    yield clauses.length - told;
    told = clauses.length;
  }

  const encoded = { facts, needs, blocks, versions, demands };
  const links = yield* addLinks(encoded, { clauses, nextVariable: () => ++variables, demandOf });
  const budgets = budgetsOf(request, candidates, margins, factOf);
  const cycleFact = factOf('cycle', () => ({ kind: 'cycle' }));
  return { candidates, variables, versions, roots, needs, wishes, demands, links, facts, clauses, budgets, cycleFact };
}

type FactOf = (key: string, make: () => Fact) => number;

function createFacts(): { facts: readonly Fact[]; factOf: FactOf } {
  const facts: Fact[] = [];
  const indices = new Map<string, number>();
  return {
    facts,
    factOf(key, make) {
      let index = indices.get(key);
      if (index === undefined) {
        index = facts.push(make()) - 1;
        indices.set(key, index);
      }
      return index;
    },
  };
}

/** Every candidate in reach gets a variable, from 1. */
function* numbered(request: ResolveRequest, catalogue: Catalogue): Work<Pick<Problem, 'candidates' | 'versions'>> {
  const candidates: Candidate[] = [{} as Candidate];
  const versions = new Map<ArtifactName, readonly number[]>();
  for (const [name, list] of yield* reachable(request, catalogue)) {
    const variables = list.map((candidate) => candidates.push(candidate) - 1);
    versions.set(name, variables);
  }
  return { candidates, versions };
}

function budgetsOf(
  request: ResolveRequest,
  candidates: readonly Candidate[],
  margins: Margins,
  factOf: FactOf,
): Budget[] {
  return (['memory', 'disk'] as const).flatMap((resource) => {
    const available = request.resources?.[resource];
    if (available === undefined) return [];
    const weights = candidates.map((candidate) => weightOf(candidate, resource));
    const fact = factOf(resource, () => ({ kind: 'resource', resource }));
    return [{ resource, fact, available, weights, margin: margins[resource] }];
  });
}

function sortedEntries(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
