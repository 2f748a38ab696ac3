/**
 * Packs an artifact's folder into segments, on the publisher's side: folder -> one deterministic tar, aside on the disk ->
 * each compression of it. Each file is read once, so that all segments hold the same content; memory is flat.
 * Leaves to others: which files (artifact-tree.ts), the form of the tar (tar-writer.ts), uploading.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  ENCODINGS,
  LeonoreError,
  platformKey,
  type ArtifactManifest,
  type Encoding,
  type FileEntry,
  type Segment,
  type Sha256,
} from '@leonore/protocol';
import { mismatch, quoted } from './archive-fault.ts';
import { createEntryBudget, DEFAULT_ARCHIVE_LIMITS } from './archive-limits.ts';
import { readArtifactTree, type SourceEntry } from './artifact-tree.ts';
import { CHUNK_BYTES, createEncoder, FILE_SUFFIX, fixGzipHeader } from './compression.ts';
import { createEntryGate } from './entry-gate.ts';
import { componentRoots } from './entry-path.ts';
import { exactFile } from './exact-file.ts';
import { packImage } from './image.ts';
import { parseManifest } from './manifest-file.ts';
import { encodeTarEntry, tarPadding } from './tar-writer.ts';

export interface PackedArtifact {
  readonly manifest: ArtifactManifest;
  /** SHA-256 of the uncompressed tar: what "the same build" means. */
  readonly contentSha256: Sha256;
  /** Sum of the files' sizes, bytes. */
  readonly unpackedSize: number;
  readonly files: FileEntry[];
  /** One for each encoding; `file` is where it was written. An image's is the file itself, which is not copied. */
  readonly segments: (Segment & { readonly file: string })[];
}

/**
 * Writes NAME-VERSION-PLATFORM.tar.gz and .tar.zst into `outDir`, which is made where it is missing.
 * The same files with the same modes give the same bytes, whatever their times, owners and place.
 * @throws LeonoreError `manifest.invalid`, `archive.hostile`, `archive.mismatch`, naming every fault
 */
export async function packArtifact(
  dir: string,
  options: {
    readonly outDir: string;
    readonly encodings?: readonly Encoding[] | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<PackedArtifact> {
  const { signal, encodings = ENCODINGS } = options;
  const outDir = resolve(options.outDir);
  refuseInside(dir, outDir);
  const manifest = await readManifest(dir);
  if (manifest.kind === 'image') return packImage(dir, manifest, signal);
  const entries = await readArtifactTree(dir, manifest);
  const admit = createEntryGate(componentRoots(manifest.name), createEntryBudget(DEFAULT_ARCHIVE_LIMITS));
  for (const entry of entries) admit(entry);

  await mkdir(outDir, { recursive: true });
  const aside = await mkdtemp(join(outDir, '.packing-'));
  try {
    const tar = join(aside, 'tar');
    const files: FileEntry[] = [];
    const content = createHash('sha256');
    await pipeline(tarBytes(entries, files, content), createWriteStream(tar), { signal });
    const segments = await Promise.all(encodings.map((encoding) => compress(tar, encoding, aside, signal)));
    const placed = await Promise.all(
      segments.map(async (segment) => {
        const file = join(outDir, segmentFileName(manifest, segment.encoding));
        await rename(segment.file, file);
        return { ...segment, file };
      }),
    );
    return {
      manifest,
      contentSha256: content.digest('hex') as Sha256,
      unpackedSize: files.reduce((sum, { size }) => sum + size, 0),
      files,
      segments: placed,
    };
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** `svm-1.2.28-linux-arm64-glibc.tar.gz` */
function segmentFileName(manifest: ArtifactManifest, encoding: Encoding): string {
  return `${manifest.name}-${manifest.version}-${platformKey(manifest.platform)}${FILE_SUFFIX[encoding]}`;
}

/** Else one run would pack what the run before it wrote. */
function refuseInside(dir: string, outDir: string): void {
  const [first] = relative(resolve(dir), outDir).split(/[/\\]/);
  if (first !== 'binary' && first !== 'control' && first !== 'image') return;
  throw new LeonoreError(
    'cli.usage',
    `${outDir} lies in ${first}/ of the artifact and would be packed with it; choose another folder`,
  );
}

async function readManifest(dir: string): Promise<ArtifactManifest> {
  const file = join(dir, 'leonore.yaml');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const folder = await stat(dir).catch(() => undefined);
    const why = folder?.isDirectory()
      ? 'there is no leonore.yaml in it; "leonore artifact init" makes one'
      : 'there is no such folder';
    throw new LeonoreError('manifest.invalid', `${dir} is no artifact: ${why}`, { cause: error });
  }
  return parseManifest(text, file);
}

async function* tarBytes(
  entries: readonly SourceEntry[],
  files: FileEntry[],
  content: ReturnType<typeof createHash>,
): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const hash = createHash('sha256');
    for await (const chunk of entryBytes(entry, hash)) {
      content.update(chunk);
      yield chunk;
    }
    if (entry.type === 'folder') continue;
    files.push({ path: entry.path, mode: entry.mode, size: entry.size, sha256: hash.digest('hex') as Sha256 });
  }
}

async function* entryBytes(entry: SourceEntry, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  yield encodeTarEntry(entry);
  if (entry.type === 'folder') return;
  const changed = (cause?: unknown): Error =>
    mismatch(quoted(entry.source), 'changed while it was packed; try again when nothing writes to it', cause);
  for await (const chunk of exactFile(entry.source, entry.size, changed)) {
    hash.update(chunk);
    yield chunk;
  }
  yield Buffer.alloc(tarPadding(entry.size));
}

async function compress(
  tar: string,
  encoding: Encoding,
  aside: string,
  signal: AbortSignal | undefined,
): Promise<Segment & { readonly encoding: Encoding; readonly file: string }> {
  const file = join(aside, encoding);
  const hash = createHash('sha256');
  let size = 0;
  const { size: tarSize } = await stat(tar);
  await pipeline(
    createReadStream(tar, { highWaterMark: CHUNK_BYTES }),
    createEncoder(encoding, tarSize),
    async function* (packed: AsyncIterable<Buffer>) {
      for await (const chunk of packed) {
        if (size === 0 && encoding === 'gzip') fixGzipHeader(chunk);
        size += chunk.length;
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(file),
    { signal },
  );
  return { encoding, sha256: hash.digest('hex') as Sha256, size, file };
}
