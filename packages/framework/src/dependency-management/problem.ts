/**
 * The request as clauses. A variable for each candidate ("this version is there") and for each demand ("something of
 * this list must be there"): requirements with the same list share one demand, so what is learned about it serves all.
 * What can be wrong is a fact; each clause names the fact it stands on, and any set of facts can be searched by itself.
 */
import type { ArtifactName } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { gatewayMeets, provided, reachable, type Candidate } from './candidates.ts';
import { own } from './ranges.ts';
import type { ResolveRequest } from './request.ts';
import { no, yes, type Clause } from './search.ts';

export type Fact =
  | { readonly kind: 'requested'; readonly name: ArtifactName; readonly range: string; readonly position: number }
  /** Every version of `name` that needs `target`, each with its own range. */
  | { readonly kind: 'requires'; readonly name: ArtifactName; readonly target: ArtifactName }
  | { readonly kind: 'capability'; readonly name: ArtifactName; readonly target: string }
  | { readonly kind: 'conflict'; readonly name: ArtifactName; readonly target: ArtifactName }
  /** The versions of `name` that exist, but not for this platform. */
  | { readonly kind: 'platform'; readonly name: ArtifactName }
  | { readonly kind: 'withdrawn'; readonly name: ArtifactName }
  /** No version of `name` is in the range, whatever the platform; `known` says whether there is any at all. */
  | { readonly kind: 'absent'; readonly name: ArtifactName; readonly range: string; readonly known: boolean }
  | { readonly kind: 'resource'; readonly resource: Resource }
  | { readonly kind: 'cycle' };

export type Resource = 'memory' | 'disk';

export interface Demand {
  readonly variable: number;
  readonly kind: 'artifact' | 'capability';
  /** Name of the artifact or capability. */
  readonly target: string;
  /** Candidates that satisfy it, the preferred one first. */
  readonly candidates: readonly number[];
}

/** What a candidate (or the request) needs. */
export interface Need {
  readonly demand: Demand;
  readonly range: string;
  readonly fact: number;
}

export interface Problem {
  /** By variable; 0 is unused. */
  readonly candidates: readonly Candidate[];
  /** Candidates and demands together. */
  readonly variables: number;
  readonly versions: ReadonlyMap<ArtifactName, readonly number[]>;
  /** What the request needs, in the order given. */
  readonly roots: readonly Need[];
  /** By candidate. */
  readonly needs: readonly (readonly Need[])[];
  readonly demands: ReadonlyMap<number, Demand>;
  readonly facts: readonly Fact[];
  readonly clauses: readonly Clause[];
  /** For each limited resource the bytes a candidate takes of it, by variable. */
  readonly budgets: readonly Budget[];
  readonly cycleFact: number;
}

export interface Budget {
  readonly resource: Resource;
  readonly fact: number;
  readonly available: number;
  readonly weights: readonly number[];
}

export function createProblem(request: ResolveRequest, catalogue: Catalogue): Problem {
  const { ranges } = catalogue;
  const candidates: Candidate[] = [NOTHING];
  const versions = new Map<ArtifactName, readonly number[]>();
  for (const [name, list] of reachable(request, catalogue)) {
    versions.set(
      name,
      list.map((candidate) => candidates.push(candidate) - 1),
    );
  }
  const requested = new Map(request.applications.map(({ name }) => [name, true]));
  const facts: Fact[] = [];
  const factIndex = new Map<string, number>();
  const clauses: Clause[] = [];
  const demands = new Map<number, Demand>();
  const known = new Map<string, Demand>();
  let variables = candidates.length - 1;

  const at = (variable: number): Candidate => candidates[variable] as Candidate;
  const versionsOf = (name: ArtifactName): readonly number[] => versions.get(name) ?? [];

  function factOf(key: string, make: () => Fact): number {
    let index = factIndex.get(key);
    if (index === undefined) {
      index = facts.push(make()) - 1;
      factIndex.set(key, index);
    }
    return index;
  }

  /** `missing`: the fact that says why the list is empty, when it is. */
  function addDemand(
    kind: Demand['kind'],
    target: string,
    list: readonly number[],
    missing: readonly number[],
  ): Demand {
    const key = `${kind} ${target} ${list.join()} ${missing.join()}`;
    const same = known.get(key);
    if (same) return same;
    const demand: Demand = { variable: ++variables, kind, target, candidates: list };
    known.set(key, demand);
    demands.set(demand.variable, demand);
    clauses.push({ literals: [no(demand.variable), ...list.map(yes)], facts: list.length > 0 ? [] : missing });
    if (kind === 'artifact' && list.length > 0) {
      const inside = new Set(list);
      for (const other of versionsOf(target as ArtifactName)) {
        if (!inside.has(other)) clauses.push({ literals: [no(demand.variable), no(other)], facts: [] });
      }
    }
    return demand;
  }

  const artifactDemands = new Map<string, Demand>();
  function artifactDemand(name: ArtifactName, range: string): Demand {
    const key = `${name} ${range}`;
    let demand = artifactDemands.get(key);
    if (!demand) {
      const all = versionsOf(name);
      const list = all.filter((variable) => ranges.fits(at(variable).parsed, range));
      const absent: Fact = { kind: 'absent', name, range, known: all.length > 0 };
      const missing = list.length > 0 ? [] : [factOf(`absent ${all.length > 0 ? key : name}`, () => absent)];
      demand = addDemand('artifact', name, list, missing);
      artifactDemands.set(key, demand);
    }
    return demand;
  }

  /**
   * A pre-release is not taken just for a capability: it counts where it is installed, or where the request or the one
   * in need asks for it by a range of its own.
   */
  function providers(needy: Candidate, capability: string, range: string): readonly number[] {
    const list: number[] = [];
    for (const name of catalogue.providers(capability)) {
      if (name === needy.name) continue;
      const named = needy.artifact && own(needy.artifact.manifest.requires.artifacts, name);
      const asked = request.applications.filter((application) => application.name === name).map((one) => one.range);
      for (const variable of versionsOf(name)) {
        const candidate = at(variable);
        const version = provided(candidate, capability);
        if (!version || !ranges.fits(version, range)) continue;
        const early = candidate.parsed.prerelease.length > 0 && !candidate.installed;
        if (early && ![...asked, ...(named ? [named] : [])].some((text) => ranges.fits(candidate.parsed, text)))
          continue;
        list.push(variable);
      }
    }
    return list.toSorted((a, b) => compareProviders(at(a), at(b), capability) || a - b);
  }

  /** What is installed, then what is requested, then the newest of the capability, then by name. */
  function compareProviders(a: Candidate, b: Candidate, capability: string): number {
    const there = (one: Candidate) => (request.installed.some(({ name }) => name === one.name) ? 0 : 1);
    const asked = (one: Candidate) => (requested.has(one.name) ? 0 : 1);
    const kept = (one: Candidate) => (one.installed && !request.upgrade ? 0 : 1);
    const newer = () => {
      const [left, right] = [provided(a, capability), provided(b, capability)];
      return left && right ? right.compare(left) : 0;
    };
    return there(a) - there(b) || asked(a) - asked(b) || kept(a) - kept(b) || newer() || compareText(a.name, b.name);
  }

  function needsOf(candidate: Candidate): readonly Need[] {
    if (!candidate.artifact) return [];
    const { name } = candidate;
    const { artifacts, capabilities } = candidate.artifact.manifest.requires;
    const needs: Need[] = [];
    for (const [key, range] of sortedEntries(artifacts)) {
      const target = key as ArtifactName;
      const fact = factOf(`requires ${name} ${target}`, () => ({ kind: 'requires', name, target }));
      needs.push({ demand: artifactDemand(target, range), range, fact });
    }
    for (const [target, range] of sortedEntries(capabilities)) {
      if (gatewayMeets(request, catalogue, target, range)) continue;
      const fact = factOf(`capability ${name} ${target}`, () => ({ kind: 'capability', name, target }));
      needs.push({ demand: addDemand('capability', target, providers(candidate, target, range), []), range, fact });
    }
    return needs;
  }

  function addConflicts(variable: number): void {
    const { name, artifact } = at(variable);
    for (const [key, range] of sortedEntries(artifact?.manifest.conflicts ?? {})) {
      const target = key as ArtifactName;
      for (const other of versionsOf(target)) {
        if (!ranges.covers(at(other).parsed, range)) continue;
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
  for (let variable = 1; variable < candidates.length; variable++) {
    const candidate = at(variable);
    const { name, blocked } = candidate;
    if (blocked) {
      const fact = factOf(`${blocked} ${name}`, () => ({ kind: blocked, name }));
      clauses.push({ literals: [no(variable)], facts: [fact] });
    }
    const own = needsOf(candidate);
    for (const { demand, fact } of own) {
      clauses.push({ literals: [no(variable), yes(demand.variable)], facts: [fact] });
    }
    needs.push(own);
    addConflicts(variable);
  }

  const budgets: Budget[] = [];
  for (const resource of ['memory', 'disk'] as const) {
    const available = request.resources?.[resource];
    if (available === undefined) continue;
    const weights = candidates.map((candidate) => weightOf(candidate, resource));
    const fact = factOf(resource, () => ({ kind: 'resource', resource }));
    budgets.push({ resource, fact, available, weights });
  }
  const cycleFact = factOf('cycle', () => ({ kind: 'cycle' }));
  return { candidates, variables, versions, roots, needs, demands, facts, clauses, budgets, cycleFact };
}

/** Bytes. Memory counts for all that will be there; disk for what comes new: its files, or what it says it needs when that is more. */
function weightOf({ artifact, installed }: Candidate, resource: Resource): number {
  if (!artifact) return 0;
  const { memory = 0, disk = 0 } = artifact.manifest.requires.resources;
  if (resource === 'memory') return memory;
  return installed ? 0 : Math.max(artifact.unpackedSize, disk);
}

function sortedEntries(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).toSorted(([a], [b]) => compareText(a, b));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Holds place 0, so that candidates are found by their variable. */
const NOTHING = {} as Candidate;
