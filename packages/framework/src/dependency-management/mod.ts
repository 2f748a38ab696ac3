/**
 * Dependency management: decides which versions a gateway needs so that its applications run, or explains why there are
 * none. No I/O, no clock; a thread for the searching where one is asked for. Fetching artifacts, building packages and
 * keeping plans is left to others.
 */
export { createAnswers, type Answer, type Answers, type AnswersOptions } from './answers.ts';
export { weightOf } from './budget.ts';
export {
  createCatalogue,
  fitsPlatform,
  fittingBuilds,
  updatingCatalogue,
  type Catalogue,
  type CatalogueVersion,
  type Runs,
} from './catalogue.ts';
export { explanationText } from './explain.ts';
export { bringsIn, dependentsOf, type DependentsOptions } from './graph.ts';
export { gatewayClassKey, type InstalledVersion, type ResolveRequest } from './request.ts';
export { resolve, resolving, type ResolveOptions } from './resolve.ts';
export { createSolverThread, type SolverThread, type SolverThreadOptions } from './solver-thread.ts';
export { createSlicingSolver, type Solver } from './solver.ts';
export { createPacer, type Pacer, type PacerOptions, type Work } from './work.ts';
