/**
 * Unpacks a package into a fresh folder, verified against its header's manifest to the last byte:
 *   header digest -> manifest -> for each component: entries, modes, sizes, digests of files, of the tar and, where it
 *   comes as a segment, of the segment.
 * A whole package has its total size, its trailer and its end checked as well. Where a component's content comes from
 * makes no difference to what is checked.
 * Invariant: the folder stays only if all of it held; otherwise it is removed whole and nothing was written elsewhere.
 */
import type { ArtifactName, Encoding, FileEntry, PackageComponent, PackageManifest } from '@leonore/protocol';
import { mismatch, quoted } from './archive-fault.ts';
import { createEntryBudget, withDefaultLimits, type EntryBudget } from './archive-limits.ts';
import { createByteReader, type ByteReaderOptions } from './byte-reader.ts';
import { createEntryGate } from './entry-gate.ts';
import { componentRoots } from './entry-path.ts';
import { readHeader, type HeaderOptions, type PackageHeader } from './read-header.ts';
import { readContent, readSegment } from './segment-reader.ts';
import { createStagingFolder, type StagingFolder } from './staging-folder.ts';
import type { TarVisitor } from './tar-reader.ts';
import type { TarEntry } from './tar-writer.ts';
import { PACKAGE_TRAILER } from './trailer.ts';

interface StagingOptions extends HeaderOptions {
  /** Folder that is made for it; it must not exist. */
  readonly into: string;
  /** Flush every file and folder to the disk; true when absent. */
  readonly durable?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UnpackOptions extends StagingOptions {
  /** Bytes of the whole package. */
  readonly size: number;
  /** Called as the package is read. */
  readonly onProgress?: ((progress: UnpackProgress) => void) | undefined;
}

export interface UnpackProgress {
  /** Bytes of the package read so far. */
  readonly bytesRead: number;
  readonly totalBytes: number;
}

/** A component's content: its segment as the package has it, or the tar in it, made of what is here already. */
export interface ComponentContent {
  readonly form: 'segment' | 'tar';
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Asked once for each component, in the manifest's order. What it throws ends the unpacking. */
export type ContentSource = (component: PackageComponent) => ComponentContent | Promise<ComponentContent>;

export interface UnpackedComponents {
  readonly manifest: PackageManifest;
  /** For each component the entries of its tar: with them and the files the same tar can be made again. */
  readonly layouts: ReadonlyMap<ArtifactName, readonly TarEntry[]>;
}

/**
 * `into` then holds `id`, `path`, `manifest.json`, `binary/` and `control/`.
 * @throws LeonoreError `archive.hostile`, `archive.corrupt`, `archive.mismatch` naming the entry, `agent.disk-full`,
 *   `config.invalid` when `into` exists; the signal's reason when it is aborted. The source is closed in every case.
 */
export async function unpackPackage(
  source: AsyncIterable<Uint8Array>,
  options: UnpackOptions,
): Promise<PackageManifest> {
  await using bytes = createByteReader(source, readerOptions(options));
  return await staged(options, async (staging) => {
    const header = await readHeader(bytes, options);
    const { manifest } = header;
    const trailer = PACKAGE_TRAILER[manifest.encoding];
    const size = packageSize(manifest, options.headerSize);
    if (size !== options.size) {
      throw mismatch('the package', `has ${size} bytes according to its header, ${options.size} were announced`);
    }
    await unpackInto(staging, header, options, (component) => ({
      form: 'segment',
      bytes: bytes.take(component.segment.length, segmentSubject(component)),
    }));
    if (!(await bytes.read(trailer.length, 'the trailer of the package')).equals(trailer)) {
      throw mismatch('the trailer of the package', 'is not the end of a package');
    }
    if (!(await bytes.atEnd())) throw mismatch('the package', `has bytes behind its end at ${size}`);
    return manifest;
  });
}

/**
 * The same from a header and each component's content by itself, wherever that is from.
 * @throws as `unpackPackage`, and what `contentOf` throws. Each content is closed in every case.
 */
export async function unpackComponents(
  header: AsyncIterable<Uint8Array>,
  contentOf: ContentSource,
  options: StagingOptions,
): Promise<UnpackedComponents> {
  const { signal } = options;
  await using bytes = createByteReader(header, { signal });
  return await staged(options, async (staging) => {
    const read = await readHeader(bytes, options);
    const layouts = await unpackInto(staging, read, options, async (component) => {
      const { form, bytes: content } = await contentOf(component);
      return { form, bytes: abortable(content, signal) };
    });
    return { manifest: read.manifest, layouts };
  });
}

/** Bytes of the package that has this manifest: header, segments, trailer. */
export function packageSize(manifest: PackageManifest, headerSize: number): number {
  return headerSize + manifest.payloadSize + PACKAGE_TRAILER[manifest.encoding].length;
}

async function staged<T>(options: StagingOptions, fill: (staging: StagingFolder) => Promise<T>): Promise<T> {
  const staging = await createStagingFolder(options.into, { durable: options.durable ?? true });
  try {
    const result = await fill(staging);
    await staging.seal();
    options.signal?.throwIfAborted();
    return result;
  } catch (error) {
    // What went wrong first is what counts.
    await staging.discard().catch(() => undefined);
    throw error;
  }
}

async function unpackInto(
  staging: StagingFolder,
  { manifest, files }: PackageHeader,
  options: HeaderOptions,
  contentOf: ContentSource,
): Promise<Map<ArtifactName, TarEntry[]>> {
  for (const [name, content] of files) await staging.file(name, 0o644, once(content));
  for (const folder of ['binary', 'control']) await staging.folder(folder);
  const budget = createEntryBudget(withDefaultLimits(options.limits));
  const layouts = new Map<ArtifactName, TarEntry[]>();
  for (const component of manifest.components) {
    const content = await contentOf(component);
    const entries = await unpackComponent(component, content, { encoding: manifest.encoding, staging, budget });
    layouts.set(component.name, entries);
  }
  return layouts;
}

async function unpackComponent(
  component: PackageComponent,
  { form, bytes }: ComponentContent,
  { encoding, staging, budget }: { encoding: Encoding; staging: StagingFolder; budget: EntryBudget },
): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const admit = createEntryGate(componentRoots(component.name), budget);
  const announced = new Map(component.files.map((file) => [file.path, file]));
  const visit: TarVisitor = async (entry, body) => {
    admit(entry);
    entries.push(entry);
    if (entry.type === 'folder') return staging.folder(entry.path);
    const file = takeAnnounced(announced, entry);
    const sha256 = await staging.file(entry.path, entry.mode, body);
    if (sha256 !== file.sha256) {
      throw mismatch(quoted(entry.path), `has the SHA-256 ${sha256}, the manifest says ${file.sha256}`);
    }
  };
  const subject = form === 'segment' ? segmentSubject(component) : `the content of ${component.name}`;
  const digests =
    form === 'segment'
      ? await readSegment(bytes, { encoding, subject }, visit)
      : { contentSha256: await readContent(bytes, subject, visit) };
  for (const path of announced.keys()) throw mismatch(quoted(path), 'is in the manifest but not in the archive');
  if ('sha256' in digests && digests.sha256 !== component.segment.sha256) {
    throw mismatch(subject, `has the SHA-256 ${digests.sha256}, the manifest says ${component.segment.sha256}`);
  }
  if (digests.contentSha256 !== component.contentSha256) {
    throw mismatch(subject, `holds other content (${digests.contentSha256}) than the manifest says`);
  }
  return entries;
}

function segmentSubject({ name }: PackageComponent): string {
  return `the segment of ${name}`;
}

async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  await using bytes = createByteReader(source, { signal });
  yield* bytes.rest();
}

/** Before a byte of it is written, so that the manifest bounds what is written. */
function takeAnnounced(announced: Map<string, FileEntry>, entry: TarEntry): FileEntry {
  const shown = quoted(entry.path);
  const file = announced.get(entry.path);
  if (!file) throw mismatch(shown, 'is in the archive but not in the manifest');
  announced.delete(entry.path);
  if (file.size !== entry.size) throw mismatch(shown, `has ${entry.size} bytes, the manifest says ${file.size}`);
  if (file.mode !== entry.mode) {
    throw mismatch(shown, `has the mode ${entry.mode.toString(8)}, the manifest says ${file.mode.toString(8)}`);
  }
  return file;
}

function readerOptions({ size, signal, onProgress }: UnpackOptions): ByteReaderOptions {
  let bytesRead = 0;
  return {
    signal,
    onRead(length) {
      bytesRead += length;
      onProgress?.({ bytesRead, totalBytes: size });
    },
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}
