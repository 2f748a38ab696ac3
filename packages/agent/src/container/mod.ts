/** The container: hosts applications on the gateway. */
export { type Application, applicationEnvironment, type EnvironmentFacts } from './application.ts';
export {
  CONTAINER_TIMING,
  type Container,
  type ContainerOptions,
  type ContainerTiming,
  createContainer,
} from './container.ts';
export { bootId, findMarked, readProcess, terminate } from './process-table.ts';
export type { ApplicationState } from './supervised.ts';
