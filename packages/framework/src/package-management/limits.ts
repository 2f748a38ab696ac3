/** What an artifact may be, said with the limit, what was found, and where the limit is set. */
import { artifactLabel, type ArtifactManifest, formatBytes, LeonoreError } from '@leonore/protocol';

export interface ArtifactLimits {
  /** Bytes of a segment, and of all files of a build together. */
  readonly maxArtifactSize: number;
  /** Files of a build. */
  readonly maxArtifactFiles: number;
}

export const DEFAULT_LIMITS: ArtifactLimits = { maxArtifactSize: 2 ** 30, maxArtifactFiles: 10_000 };

const SIZE = 'LEONORE_MAX_ARTIFACT_SIZE or leonore node --max-artifact-size';
const FILES = 'LEONORE_MAX_ARTIFACT_FILES or leonore node --max-artifact-files';

/** @throws upload.too-large */
export function checkSegmentSize(size: number, { maxArtifactSize: limit }: ArtifactLimits): void {
  if (size <= limit) return;
  throw tooLarge(`this segment has ${formatBytes(size)} and the limit is ${formatBytes(limit)} (${SIZE})`, size, limit);
}

/** @throws upload.too-large */
export function checkContents(
  manifest: ArtifactManifest,
  contents: { readonly files: readonly unknown[]; readonly unpackedSize: number },
  { maxArtifactSize, maxArtifactFiles }: ArtifactLimits,
): void {
  const label = artifactLabel(manifest);
  const { files, unpackedSize } = contents;
  if (files.length > maxArtifactFiles) {
    const text = `${label} has ${files.length} files and the limit is ${maxArtifactFiles} (${FILES})`;
    throw tooLarge(text, files.length, maxArtifactFiles);
  }
  if (unpackedSize > maxArtifactSize) {
    const text = `${label} has ${formatBytes(unpackedSize)} unpacked and the limit is ${formatBytes(maxArtifactSize)} (${SIZE})`;
    throw tooLarge(text, unpackedSize, maxArtifactSize);
  }
}

function tooLarge(what: string, used: number, limit: number): LeonoreError {
  return new LeonoreError('upload.too-large', `${what}; make it smaller or raise the limit`, {
    details: { used, limit },
  });
}
