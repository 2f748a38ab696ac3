/**
 * Package builder: install plan + gateway class -> package, composed from segments that are packed once. Serves any byte
 * range of a package from its parts without assembling it.
 */
export { createPackageBuilder, gatewayClassId, type BuildRequest, type PackageBuilder } from './package-builder.ts';
export { createByteCache, type ByteCache } from './byte-cache.ts';
export { createFormats, type SwupdateOptions } from './formats/all-formats.ts';
export { createArchiveFormats } from './formats/archive/archive-format.ts';
export { packageFormatsOf, type Format } from './formats/mod.ts';
export { diffPackages } from './diff.ts';
export { SBOM_MEDIA_TYPE, type Sbom } from './sbom.ts';
export { createSboms, type SbomOptions, type Sboms } from './sbom-sources.ts';
export { createDeltaMaker } from './deltas/delta-maker.ts';
export { createDeltas, type Deltas, type DeltasOptions, type OfferedDelta, type OpenDelta } from './deltas/deltas.ts';
