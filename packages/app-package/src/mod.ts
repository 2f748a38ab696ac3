/**
 * Application packages: an artifact's folder becomes segments, segments become a package, a package becomes files again.
 * See packages/protocol for the manifests. No network, no database; knows no other part of LEONORE than protocol.
 */
export { DEFAULT_ARCHIVE_LIMITS, type ArchiveLimits } from './archive-limits.ts';
export type { FileMemory } from './checked-files.ts';
export {
  composePackage,
  packageIdOf,
  type ComponentToCompose,
  type ComposedPackage,
  type PackageToCompose,
} from './compose.ts';
export { applyDelta, makeDelta, MAX_DELTA_PAIR_BYTES, type DeltaLimits } from './delta.ts';
export { findHeader, type HeaderPlace } from './header-segment.ts';
export { inspectImage } from './image.ts';
export { inspectSegment, type SegmentContents } from './inspect.ts';
export { parseManifest } from './manifest-file.ts';
export { packArtifact, type PackedArtifact } from './pack.ts';
export { readPackageHeader, type HeaderOptions } from './read-header.ts';
export { rebuildTar, tarSize } from './rebuild-tar.ts';
export type { TarEntry } from './tar-writer.ts';
export {
  packageSize,
  unpackComponents,
  unpackPackage,
  type ComponentContent,
  type ContentSource,
  type UnpackedComponents,
  type UnpackOptions,
  type UnpackProgress,
} from './unpack.ts';
