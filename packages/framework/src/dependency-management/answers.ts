/**
 * Answers that are kept for as long as they hold. Each remembers what its solver looked at: a publication makes only those
 * answers be found again that it could change, and gateways of a class that have more or less memory and disk share one
 * where every comparison with what they have comes out the same.
 */
import type { Resolution } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { areWithin } from './margins.ts';
import type { ResolveRequest } from './request.ts';
import { sightingsIn, type Looked, type Sightings } from './sightings.ts';
import { createSlicingSolver, type Solver } from './solver.ts';

type Resources = ResolveRequest['resources'];

/** The same object for as long as the answer is the same one. */
export interface Answer {
  /** An explanation may tell what the gateway has: then it tells of `foundFor`. */
  readonly resolution: Resolution;
  readonly foundFor: Resources;
  /** True when gateways of the class that have this get the same. */
  holdsFor(resources: Resources): boolean;
}

export interface Answers {
  /**
   * `key` names the class (`gatewayClassKey`). Asked for at once by many, it is solved once. Rejects with what the
   * solver rejects with; then nothing is kept.
   */
  find(tenant: string, key: string, request: ResolveRequest, catalogue: Catalogue): Promise<Answer>;
}

export interface AnswersOptions {
  /** Of how many classes answers are kept; those that were asked for longest ago go first. */
  readonly keep: number;
  readonly solver?: Solver;
  /** Told whenever an answer has to be searched for. */
  readonly onSolve?: (key: string) => void;
}

/** Answers of one class at a time, for gateways that have more or less. */
const KEPT_IN_CLASS = 20;

export function createAnswers(options: AnswersOptions): Answers {
  const { keep, solver = createSlicingSolver(), onSolve } = options;
  const classes = new Map<string, KnownClass>();

  function classOf(key: string): KnownClass {
    const known = classes.get(key) ?? { answers: [] };
    classes.delete(key);
    classes.set(key, known);
    for (const oldest of classes.keys()) {
      if (classes.size <= keep) break;
      classes.delete(oldest);
    }
    return known;
  }

  async function make(tenant: string, request: ResolveRequest, catalogue: Catalogue): Promise<KeptAnswer> {
    const { resolution, looked } = await solver.solve(tenant, request, catalogue);
    return {
      answer: createAnswer(resolution, request.resources, looked),
      seen: sightingsIn(catalogue, looked),
      revision: catalogue.revision,
    };
  }

  return {
    async find(tenant, key, request, catalogue) {
      const known = classOf(`${tenant}/${key}`);
      const holds = (kept: KeptAnswer): boolean => {
        if (kept.revision !== catalogue.revision && !kept.seen.holdIn(catalogue)) return false;
        kept.revision = catalogue.revision;
        return true;
      };
      for (;;) {
        const kept = known.answers.find((one) => one.answer.holdsFor(request.resources) && holds(one));
        if (kept) return kept.answer;
        if (!known.making) break;
        // Who found first that there is none makes one; the others see whether it is theirs too.
        await known.making;
      }
      onSolve?.(key);
      const making = make(tenant, request, catalogue);
      known.making = making;
      try {
        const made = await making;
        known.answers = [made, ...known.answers.filter(holds)].slice(0, KEPT_IN_CLASS);
        return made.answer;
      } finally {
        delete known.making;
      }
    },
  };
}

interface KnownClass {
  answers: readonly KeptAnswer[];
  /** The one that is being found. */
  making?: Promise<KeptAnswer>;
}

interface KeptAnswer {
  readonly answer: Answer;
  readonly seen: Sightings;
  /** The newest of which it is known to hold. */
  revision: number;
}

function createAnswer(resolution: Resolution, foundFor: Resources, { margins }: Looked): Answer {
  return { resolution, foundFor, holdsFor: (resources) => areWithin(margins, resources) };
}
