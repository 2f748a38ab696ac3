/**
 * Unpacks a package into a fresh folder, verified against its header's manifest to the last byte:
 *   header digest -> manifest -> total size -> for each component: entries, modes, sizes, digests of files, of the tar
 *   and of the segment -> trailer -> end.
 * Invariant: the folder stays only if all of it held; otherwise it is removed whole and nothing was written elsewhere.
 */
import type { FileEntry, PackageComponent, PackageManifest } from '@leonore/protocol';
import { mismatch, quoted } from './archive-fault.ts';
import { createEntryBudget, withDefaultLimits, type EntryBudget } from './archive-limits.ts';
import { createByteReader, type ByteReader, type ByteReaderOptions } from './byte-reader.ts';
import { createEntryGate } from './entry-gate.ts';
import { componentRoots } from './entry-path.ts';
import { readHeader, type HeaderOptions, type PackageHeader } from './read-header.ts';
import { readSegment } from './segment-reader.ts';
import { createStagingFolder, type StagingFolder } from './staging-folder.ts';
import type { TarEntry } from './tar-writer.ts';
import { PACKAGE_TRAILER } from './trailer.ts';

export interface UnpackOptions extends HeaderOptions {
  /** Folder that is made for it; it must not exist. */
  readonly into: string;
  /** Bytes of the whole package. */
  readonly size: number;
  /** Flush every file and folder to the disk; true when absent. */
  readonly durable?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called as the package is read. */
  readonly onProgress?: ((progress: UnpackProgress) => void) | undefined;
}

export interface UnpackProgress {
  /** Bytes of the package read so far. */
  readonly bytesRead: number;
  readonly totalBytes: number;
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
  const staging = await createStagingFolder(options.into, { durable: options.durable ?? true });
  try {
    const manifest = await unpack(bytes, staging, options);
    await staging.seal();
    options.signal?.throwIfAborted();
    return manifest;
  } catch (error) {
    // What went wrong first is what counts.
    await staging.discard().catch(() => undefined);
    throw error;
  }
}

async function unpack(bytes: ByteReader, staging: StagingFolder, options: UnpackOptions): Promise<PackageManifest> {
  const header = await readHeader(bytes, options);
  const { manifest } = header;
  const trailer = PACKAGE_TRAILER[manifest.encoding];
  const size = options.headerSize + manifest.payloadSize + trailer.length;
  if (size !== options.size) {
    throw mismatch('the package', `has ${size} bytes according to its header, ${options.size} were announced`);
  }
  await writeHeaderFiles(header, staging);
  const budget = createEntryBudget(withDefaultLimits(options.limits));
  for (const component of manifest.components) await unpackComponent(component, manifest, { bytes, staging, budget });
  if (!(await bytes.read(trailer.length, 'the trailer of the package')).equals(trailer)) {
    throw mismatch('the trailer of the package', 'is not the end of a package');
  }
  if (!(await bytes.atEnd())) throw mismatch('the package', `has bytes behind its end at ${size}`);
  return manifest;
}

async function writeHeaderFiles({ files }: PackageHeader, staging: StagingFolder): Promise<void> {
  for (const [name, content] of files) await staging.file(name, 0o644, once(content));
  for (const folder of ['binary', 'control']) await staging.folder(folder);
}

async function unpackComponent(
  component: PackageComponent,
  manifest: PackageManifest,
  { bytes, staging, budget }: { bytes: ByteReader; staging: StagingFolder; budget: EntryBudget },
): Promise<void> {
  const subject = `the segment of ${component.name}`;
  const admit = createEntryGate(componentRoots(component.name), budget);
  const announced = new Map(component.files.map((file) => [file.path, file]));
  const { segment } = component;
  const digests = await readSegment(
    bytes.take(segment.length, subject),
    { encoding: manifest.encoding, subject },
    async (entry, body) => {
      admit(entry);
      if (entry.type === 'folder') return staging.folder(entry.path);
      const file = takeAnnounced(announced, entry);
      const sha256 = await staging.file(entry.path, entry.mode, body);
      if (sha256 !== file.sha256) {
        throw mismatch(quoted(entry.path), `has the SHA-256 ${sha256}, the manifest says ${file.sha256}`);
      }
    },
  );
  for (const path of announced.keys()) throw mismatch(quoted(path), 'is in the manifest but not in the archive');
  if (digests.sha256 !== segment.sha256) {
    throw mismatch(subject, `has the SHA-256 ${digests.sha256}, the manifest says ${segment.sha256}`);
  }
  if (digests.contentSha256 !== component.contentSha256) {
    throw mismatch(subject, `holds other content (${digests.contentSha256}) than the manifest says`);
  }
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
