/**
 * The request as a search problem: what can be chosen, what is demanded, which facts forbid what. A variable stands for
 * each candidate ("this version is there"), each demand ("one of these must be there") and each link ("whatever version
 * of A is there, it needs B"). What can be wrong is a fact; each clause names the facts it stands on, so any set of
 * facts can be searched by itself.
 */
import type { ArtifactName } from '@leonore/protocol';
import type { Candidate } from './candidates.ts';
import type { Margin } from './margins.ts';
import type { Clause } from './search.ts';

export type Fact =
  | { readonly kind: 'requested'; readonly name: ArtifactName; readonly range: string; readonly position: number }
  /** Every version of `name` that needs `target`, each with its own range. */
  | { readonly kind: 'requires'; readonly name: ArtifactName; readonly target: ArtifactName }
  | { readonly kind: 'capability'; readonly name: ArtifactName; readonly target: string }
  /** Every version of `name` with these alternatives, in words. */
  | { readonly kind: 'any-of'; readonly name: ArtifactName; readonly target: string }
  /** Every version of `name` that takes `target` along, but not any version of it. */
  | { readonly kind: 'optional'; readonly name: ArtifactName; readonly target: ArtifactName }
  | { readonly kind: 'conflict'; readonly name: ArtifactName; readonly target: ArtifactName }
  /** The versions of `name` that exist, but not for this platform. */
  | { readonly kind: 'platform'; readonly name: ArtifactName }
  | { readonly kind: 'withdrawn'; readonly name: ArtifactName }
  /** No version of `name` is in some range that asks for it, whatever the platform; `known`: there are others. */
  | { readonly kind: 'absent'; readonly name: ArtifactName; readonly known: boolean }
  | { readonly kind: 'resource'; readonly resource: Resource }
  | { readonly kind: 'cycle' };

export type Resource = 'memory' | 'disk';

export interface Demand {
  readonly variable: number;
  readonly kind: 'artifact' | 'capability' | 'any-of';
  /** Name of the artifact or capability; alternatives in words. */
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

/** What a candidate takes along when that can be had. */
export interface Wish {
  readonly target: ArtifactName;
  readonly range: string;
  /** The preferred one first. */
  readonly candidates: readonly number[];
}

/** What all versions of one artifact that need another have in common. */
export interface Link {
  readonly variable: number;
  /** Any version that one of them would take. */
  readonly demand: Demand;
}

export interface Budget {
  readonly resource: Resource;
  readonly fact: number;
  /** Bytes. */
  readonly available: number;
  /** Notes what `available` is compared with. */
  readonly margin: Margin;
  /** Bytes a candidate takes, by variable. */
  readonly weights: readonly number[];
}

export interface Problem {
  /** By variable; 0 is unused. */
  readonly candidates: readonly Candidate[];
  /** How many there are, candidates first. */
  readonly variables: number;
  /** Candidates by name, the preferred one first. */
  readonly versions: ReadonlyMap<ArtifactName, readonly number[]>;
  /** What the request needs, in the order given. */
  readonly roots: readonly Need[];
  /** By candidate. */
  readonly needs: readonly (readonly Need[])[];
  /** By candidate; what nothing could meet is left out. */
  readonly wishes: readonly (readonly Wish[])[];
  /** By variable. */
  readonly demands: ReadonlyMap<number, Demand>;
  /** By fact, for those of kind `requires` that speak of several versions. */
  readonly links: ReadonlyMap<number, Link>;
  readonly facts: readonly Fact[];
  readonly clauses: readonly Clause[];
  readonly budgets: readonly Budget[];
  readonly cycleFact: number;
}
