/**
 * Opaque images (a `.swu`, a RAUC bundle, a firmware): an artifact's folder with exactly one file in `image/`, which is
 * published and delivered as it is. Nobody here looks into it; its SHA-256 is all that is known of it.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  artifactManifestSchema,
  imagePath,
  LeonoreError,
  type ArtifactManifest,
  type FileEntry,
  type Segment,
  type Sha256,
} from '@leonore/protocol';
import { mismatch, quoted } from './archive-fault.ts';
import type { SegmentContents } from './inspect.ts';
import type { PackedArtifact } from './pack.ts';

const CHUNK_BYTES = 2 ** 20;

/** @throws LeonoreError `archive.mismatch` when `image/` does not hold exactly one file */
export async function packImage(
  dir: string,
  manifest: ArtifactManifest,
  signal: AbortSignal | undefined,
): Promise<PackedArtifact> {
  const name = await imageFileName(dir, manifest);
  const file = join(dir, 'image', name);
  // Not through a link, should somebody have put one there since.
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const bytes = handle.createReadStream({ highWaterMark: CHUNK_BYTES, signal });
  const contents = await inspectImage(bytes as AsyncIterable<Buffer>, { name: manifest.name, file: name });
  const segment: Segment = { encoding: 'raw', sha256: contents.contentSha256, size: contents.unpackedSize };
  return {
    manifest: { ...manifest, image: { part: manifest.image?.part ?? 'os', file: name } },
    ...contents,
    segments: [{ ...segment, file }],
  };
}

/** What an image's segment is: one file, named by its own digest. */
export async function inspectImage(
  source: AsyncIterable<Uint8Array>,
  { name, file }: { readonly name: string; readonly file: string },
): Promise<SegmentContents> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of source) {
    hash.update(chunk);
    size += chunk.length;
  }
  const sha256 = hash.digest('hex') as Sha256;
  const entry: FileEntry = { path: imagePath(name, file), mode: 0o644, size, sha256 };
  return { contentSha256: sha256, files: [entry], unpackedSize: size };
}

async function imageFileName(dir: string, manifest: ArtifactManifest): Promise<string> {
  const refuse = (why: string): LeonoreError =>
    new LeonoreError('archive.mismatch', `${manifest.name} in ${dir} is an image and cannot be packed: ${why}`);
  for (const part of ['binary', 'control']) {
    if ((await namesIn(join(dir, part))).length > 0)
      throw refuse(
        `${part}/ has files, which an image does not have; take them away, or "kind: image" out of leonore.yaml`,
      );
  }
  const names = await namesIn(join(dir, 'image'));
  const [name] = names;
  if (name === undefined) throw refuse('image/ holds no file; put the one that the gateways install into it');
  if (names.length > 1) {
    const some = names.toSorted().slice(0, 5).map(quoted).join(', ');
    throw refuse(
      `image/ holds ${names.length} entries (${some}${names.length > 5 ? ', ...' : ''}); it holds exactly one file`,
    );
  }
  const stats = await lstat(join(dir, 'image', name));
  if (stats.isSymbolicLink())
    throw refuse(`${quoted(name)} is a symbolic link; put the file itself in its place (cp -L)`);
  if (!stats.isFile()) throw refuse(`${quoted(name)} is no file; image/ holds exactly one file`);
  if (stats.size === 0) throw refuse(`${quoted(name)} is empty`);
  const wanted = manifest.image?.file;
  if (wanted !== undefined && wanted !== name)
    throw refuse(
      `leonore.yaml says that the file is ${quoted(wanted)}, image/ has ${quoted(name)}; correct one of them`,
    );
  const named = artifactManifestSchema.safeParse({ ...manifest, image: { ...manifest.image, file: name } });
  if (!named.success) throw refuse(`${quoted(name)} cannot be its name: ${named.error.issues[0]?.message ?? ''}`);
  return name;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') throw mismatch(quoted(folder), 'is a file; it must be a folder');
    throw error;
  });
}
