/**
 * Package builder: install plan + gateway class -> package, composed from segments that are packed once. Serves any byte
 * range of a package from its parts without assembling it.
 */
export { createPackageBuilder, gatewayClassId, type BuildRequest, type PackageBuilder } from './package-builder.ts';
export { createByteCache, type ByteCache } from './byte-cache.ts';
