/**
 * Answers that are kept for as long as they hold. Each remembers what its solver looked at, by identity: a publication
 * leaves the lists of all other artifacts as they are, so only the answers that could change are found again.
 */
import type { ArtifactName, Resolution } from '@leonore/protocol';
import type { Catalogue, CatalogueVersion } from './catalogue.ts';
import type { ResolveRequest } from './request.ts';
import { resolving, type ResolveOptions } from './resolve.ts';
import { createPacer, type Pacer } from './work.ts';

/** The same object for as long as the answer is the same one. */
export interface Answer {
  readonly resolution: Resolution;
}

export interface Answers {
  /**
   * `key` names what is asked: the tenant and the class. Asked for at once by many, it is solved once. Never holds up the
   * event loop for long.
   */
  find(key: string, request: ResolveRequest, catalogue: Catalogue): Promise<Answer>;
}

export interface AnswersOptions extends ResolveOptions {
  /** How many are kept; those that were asked for longest ago go first. */
  readonly keep: number;
  readonly pacer?: Pacer;
  /** Told whenever an answer has to be searched for. */
  readonly onSolve?: (key: string) => void;
}

export function createAnswers(options: AnswersOptions): Answers {
  const { keep, pacer = createPacer(), onSolve } = options;
  const known = new Map<string, Promise<KeptAnswer>>();

  function remember(key: string, made: Promise<KeptAnswer>): void {
    known.delete(key);
    known.set(key, made);
    for (const oldest of known.keys()) {
      if (known.size <= keep) break;
      known.delete(oldest);
    }
  }

  async function solveOnce(request: ResolveRequest, catalogue: Catalogue): Promise<KeptAnswer> {
    const seen = createSightings();
    const resolution = await pacer.run(resolving(request, watched(catalogue, seen), options));
    return { answer: { resolution }, seen, revision: catalogue.revision };
  }

  return {
    async find(key, request, catalogue) {
      for (let made = known.get(key); made; made = known.get(key)) {
        const kept = await made;
        if (kept.revision === catalogue.revision || kept.seen.holdIn(catalogue)) {
          kept.revision = catalogue.revision;
          if (known.get(key) === made) remember(key, made);
          return kept.answer;
        }
        // Whoever finds first that it no longer holds makes it new; the others wait for that.
        if (known.get(key) === made) break;
      }
      onSolve?.(key);
      const made = solveOnce(request, catalogue);
      remember(key, made);
      made.catch(() => known.get(key) === made && known.delete(key));
      return (await made).answer;
    },
  };
}

interface KeptAnswer {
  readonly answer: Answer;
  readonly seen: Sightings;
  /** The newest of which it is known to hold. */
  revision: number;
}

/** What was looked at in a catalogue, without holding on to the catalogue itself. */
export interface Sightings {
  readonly versions: Map<string, readonly CatalogueVersion[]>;
  readonly providers: Map<string, readonly ArtifactName[]>;
  names: readonly ArtifactName[] | undefined;
  holdIn(catalogue: Catalogue): boolean;
}

export function createSightings(): Sightings {
  return {
    versions: new Map(),
    providers: new Map(),
    names: undefined,
    holdIn(catalogue) {
      if (this.names !== undefined && this.names !== catalogue.names) return false;
      for (const [name, list] of this.versions) if (catalogue.versions(name) !== list) return false;
      for (const [capability, list] of this.providers) if (catalogue.providers(capability) !== list) return false;
      return true;
    },
  };
}

/** The catalogue itself, but what is asked of it is noted. */
export function watched(catalogue: Catalogue, seen: Sightings): Catalogue {
  return {
    revision: catalogue.revision,
    ranges: catalogue.ranges,
    get names() {
      seen.names = catalogue.names;
      return catalogue.names;
    },
    versions(name) {
      const list = catalogue.versions(name);
      seen.versions.set(name, list);
      return list;
    },
    providers(capability) {
      const list = catalogue.providers(capability);
      seen.providers.set(capability, list);
      return list;
    },
    find(step) {
      seen.versions.set(step.name, catalogue.versions(step.name));
      return catalogue.find(step);
    },
  };
}
