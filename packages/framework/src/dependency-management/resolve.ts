/** From a request to a plan or an explanation. */
import type { InstallPlan, Resolution } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { explain, explainLimit } from './explain.ts';
import { createPlan, neededOf } from './plan.ts';
import { createProblem } from './encode.ts';
import { createMargins, type Margins } from './margins.ts';
import type { Problem } from './problem.ts';
import type { ResolveRequest } from './request.ts';
import type { SearchResult } from './search.ts';
import { solve } from './solve.ts';
import { atOnce, type Work } from './work.ts';

export interface ResolveOptions {
  /** Clauses looked at, for each search; some ten million a second. */
  readonly stepLimit?: number;
  /** Notes for how much memory and disk the answer is the same. */
  readonly margins?: Margins;
}

const STEP_LIMIT = 20_000_000;
/** Explaining asks many small questions; none of them may take long. */
const EXPLAIN_STEP_LIMIT = 500_000;

/**
 * What to install, update, keep and remove so that the gateway has all the applications and all they need, or why that
 * cannot be. Of all plans it takes the one with the best version of the first application, then of the second, then of
 * what they need; best is what is installed (newest when upgrading), then newest. What is optional is added to that
 * where it can be, and changes nothing of it. Pure: the same input, the same answer.
 */
export function resolve(request: ResolveRequest, catalogue: Catalogue, options: ResolveOptions = {}): Resolution {
  return atOnce(resolving(request, catalogue, options));
}

/** The same as work, so that it need not be done at once. */
export function* resolving(
  request: ResolveRequest,
  catalogue: Catalogue,
  { stepLimit = STEP_LIMIT, margins = createMargins() }: ResolveOptions = {},
): Work<Resolution> {
  const problem = yield* createProblem(request, catalogue, margins);
  const result = yield* solveWithWishes(problem, stepLimit);
  switch (result.kind) {
    case 'model':
      return { outcome: 'plan', plan: createPlan(result.chosen, problem, request, catalogue) };
    case 'limit':
      return { outcome: 'unsatisfiable', explanation: explainLimit(request, stepLimit) };
    case 'none': {
      const { facts, found } = result;
      const limit = Math.min(stepLimit, EXPLAIN_STEP_LIMIT);
      const attempt = (other: ResolveRequest) => attemptPlan(other, catalogue, margins, limit);
      const explanation = yield* explain({ problem, request, catalogue, facts, found }, { stepLimit: limit, attempt });
      return { outcome: 'unsatisfiable', explanation };
    }
    default:
      return result satisfies never;
  }
}

/**
 * First all that is needed, then what can be added to exactly that. A search may choose what nobody turns out to need;
 * as that could stand in the way of a wish, it is gone over again until there is none. Past the limit wishes stay open.
 */
function* solveWithWishes(problem: Problem, stepLimit: number): Work<SearchResult> {
  let result = yield* solve(problem, { stepLimit });
  while (result.kind === 'model') {
    const needed = neededOf(result.chosen, problem);
    const wished = needed.some((one) => (problem.wishes[one] ?? []).length > 0);
    if (!wished) break;
    const more = yield* solve(problem, { stepLimit, extend: needed });
    if (more.kind !== 'model') break;
    result = more;
    if (neededOf(more.chosen, problem).length === needed.length) break;
  }
  return result;
}

function* attemptPlan(
  request: ResolveRequest,
  catalogue: Catalogue,
  margins: Margins,
  stepLimit: number,
): Work<InstallPlan | undefined> {
  const problem = yield* createProblem(request, catalogue, margins);
  const result = yield* solveWithWishes(problem, stepLimit);
  return result.kind === 'model' ? createPlan(result.chosen, problem, request, catalogue) : undefined;
}
