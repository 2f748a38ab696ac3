/**
 * Dependency management: decides which versions a gateway needs so that its applications run, or explains why there are
 * none. Pure: no I/O, no clock. Fetching artifacts, building packages and remembering answers is left to others.
 */
export { createAnswers, type Answer, type Answers, type AnswersOptions } from './answers.ts';
export {
  createCatalogue,
  fitsPlatform,
  updatingCatalogue,
  type Catalogue,
  type CatalogueVersion,
  type Runs,
} from './catalogue.ts';
export { explanationText } from './explain.ts';
export { bringsIn, dependentsOf, type DependentsOptions } from './graph.ts';
export { gatewayClassKey, solveInput, type InstalledVersion, type ResolveRequest } from './request.ts';
export { resolve, resolveCooperatively, resolving, type ResolveOptions } from './resolve.ts';
export { createPacer, type Pacer, type PacerOptions, type Work } from './work.ts';
