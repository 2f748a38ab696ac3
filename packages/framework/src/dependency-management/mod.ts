/**
 * Dependency management: decides which versions a gateway needs so that its applications run, or explains why there are
 * none. Pure: no I/O, no clock. Fetching artifacts, building packages and remembering answers is left to others.
 */
export { createCatalogue, fitsPlatform, type Catalogue, type CatalogueVersion } from './catalogue.ts';
export { explanationText } from './explain.ts';
export { gatewayClassKey, solveInput, type InstalledVersion, type ResolveRequest } from './request.ts';
export { resolve, type ResolveOptions } from './resolve.ts';
