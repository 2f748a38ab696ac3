/**
 * Application packages: an artifact's folder becomes segments, segments become a package, a package becomes files again.
 * See packages/protocol for the manifests. No network, no database; knows no other part of LEONORE than protocol.
 */
export { DEFAULT_ARCHIVE_LIMITS, type ArchiveLimits } from './archive-limits.ts';
export {
  composePackage,
  packageIdOf,
  type ComponentToCompose,
  type ComposedPackage,
  type PackageToCompose,
} from './compose.ts';
export { findHeader, type HeaderPlace } from './header-segment.ts';
export { inspectSegment, type SegmentContents } from './inspect.ts';
export { parseManifest } from './manifest-file.ts';
export { packArtifact, type PackedArtifact } from './pack.ts';
export { readPackageHeader, type HeaderOptions } from './read-header.ts';
export { unpackPackage, type UnpackOptions, type UnpackProgress } from './unpack.ts';
