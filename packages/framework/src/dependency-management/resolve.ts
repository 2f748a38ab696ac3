/** From a request to a plan or an explanation. */
import type { InstallPlan, Resolution } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import { explain, explainLimit } from './explain.ts';
import { createPlan } from './plan.ts';
import { createProblem } from './encode.ts';
import type { ResolveRequest } from './request.ts';
import { solve } from './solve.ts';

export interface ResolveOptions {
  /** Clauses looked at, for each search; some ten million a second. */
  readonly stepLimit?: number;
}

const STEP_LIMIT = 20_000_000;
/** Explaining asks many small questions; none of them may take long. */
const EXPLAIN_STEP_LIMIT = 500_000;

/**
 * What to install, update, keep and remove so that the gateway has all the applications and all they need, or why that
 * cannot be. Of all plans it takes the one with the best version of the first application, then of the second, then of
 * what they need; best is what is installed (newest when upgrading), then newest. Pure: the same input, the same answer.
 */
export function resolve(request: ResolveRequest, catalogue: Catalogue, options: ResolveOptions = {}): Resolution {
  const { stepLimit = STEP_LIMIT } = options;
  const problem = createProblem(request, catalogue);
  const result = solve(problem, { stepLimit });
  switch (result.kind) {
    case 'model':
      return { outcome: 'plan', plan: createPlan(result.chosen, problem, request, catalogue) };
    case 'limit':
      return { outcome: 'unsatisfiable', explanation: explainLimit(request, stepLimit) };
    case 'none': {
      const { facts, found } = result;
      const limit = Math.min(stepLimit, EXPLAIN_STEP_LIMIT);
      const attempt = (other: ResolveRequest) => attemptPlan(other, catalogue, limit);
      const explanation = explain({ problem, request, catalogue, facts, found }, { stepLimit: limit, attempt });
      return { outcome: 'unsatisfiable', explanation };
    }
    default:
      return result satisfies never;
  }
}

function attemptPlan(request: ResolveRequest, catalogue: Catalogue, stepLimit: number): InstallPlan | undefined {
  const problem = createProblem(request, catalogue);
  const result = solve(problem, { stepLimit });
  return result.kind === 'model' ? createPlan(result.chosen, problem, request, catalogue) : undefined;
}
