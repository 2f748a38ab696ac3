/** The container: hosts applications on the gateway. */
export { type Application, applicationEnvironment, type EnvironmentFacts } from './application.ts';
export {
  CONTAINER_TIMING,
  type Container,
  type ContainerOptions,
  type ContainerTiming,
  createContainer,
} from './container.ts';
export { ensureFolder } from './ensure-folder.ts';
export { executorCapabilities } from './executors/all.ts';
export { APPLICATION_USERS, type ApplicationUsers } from './identities.ts';
export { lastLines } from './log-file.ts';
export { bootId, findMarked, type MarkedProcess, readProcess, terminate } from './process-table.ts';
export type { ApplicationState, ApplicationStatus } from './supervised.ts';
