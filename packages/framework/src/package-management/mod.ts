/**
 * Package management: takes artifacts in (resumable upload, publication), lists, shows and withdraws them.
 * A published build never changes. Nothing is believed of what a publisher says: every segment is read and checked.
 */
export {
  createPackageManagement,
  type PackageManagement,
  type PackageManagementOptions,
} from './package-management.ts';
export { createDiskWatch } from './disk-watch.ts';
export { type ArtifactLimits } from './limits.ts';
export { createStore, type Store } from './store.ts';
