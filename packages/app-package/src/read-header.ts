/**
 * Reads a package's header: its digest first, then what it says. After it the manifest can be trusted as far as the
 * digest that was asked for.
 */
import { createHash } from 'node:crypto';
import { packageManifestSchema, type Encoding, type PackageManifest, type Sha256 } from '@leonore/protocol';
import { hostile, mismatch, quoted } from './archive-fault.ts';
import { withDefaultLimits, type ArchiveLimits } from './archive-limits.ts';
import { createByteReader, type ByteReader } from './byte-reader.ts';
import { checkPackageManifest } from './package-rules.ts';
import { HEADER_FILES, idFile, pathFile, type HeaderFile } from './package-texts.ts';
import { readSegment } from './segment-reader.ts';

export interface HeaderOptions {
  /** Bytes. */
  readonly headerSize: number;
  readonly headerSha256: Sha256;
  readonly encoding: Encoding;
  readonly limits?: Partial<ArchiveLimits> | undefined;
}

export interface PackageHeader {
  readonly manifest: PackageManifest;
  /** The files as they are in the header. */
  readonly files: ReadonlyMap<HeaderFile, Buffer>;
}

const SUBJECT = 'the header of the package';

/**
 * Reads `headerSize` bytes of the source and closes it; what follows them does not matter.
 * @throws LeonoreError `archive.mismatch`, `archive.corrupt` or `archive.hostile`
 */
export async function readPackageHeader(
  source: AsyncIterable<Uint8Array>,
  options: HeaderOptions & { readonly signal?: AbortSignal },
): Promise<PackageManifest> {
  await using bytes = createByteReader(source, { signal: options.signal });
  const { manifest } = await readHeader(bytes, options);
  return manifest;
}

/** As `readPackageHeader`, from a reader that goes on behind the header. */
export async function readHeader(bytes: ByteReader, options: HeaderOptions): Promise<PackageHeader> {
  const limits = withDefaultLimits(options.limits);
  const { headerSize, headerSha256 } = options;
  if (headerSize > limits.maxHeaderBytes) {
    throw hostile(SUBJECT, `has ${headerSize} bytes; ${limits.maxHeaderBytes} are allowed`);
  }
  const packed = await bytes.read(headerSize, SUBJECT);
  const sha256 = createHash('sha256').update(packed).digest('hex');
  if (sha256 !== headerSha256) throw mismatch(SUBJECT, `has the SHA-256 ${sha256} instead of ${headerSha256}`);
  const files = await readFiles(packed, options.encoding, limits.maxHeaderBytes);
  const manifest = parsePackageManifest(fileText(files, 'manifest.json'));
  if (manifest.encoding !== options.encoding) {
    throw mismatch(quoted('manifest.json'), `says that the package is ${manifest.encoding}, it is ${options.encoding}`);
  }
  if (fileText(files, 'id') !== idFile(manifest)) throw mismatch(quoted('id'), 'is not the id in manifest.json');
  if (fileText(files, 'path') !== pathFile(manifest)) {
    throw mismatch(quoted('path'), 'does not list the components of manifest.json');
  }
  checkPackageManifest(manifest, limits);
  return { manifest, files };
}

/** Exactly the three files, in their order. */
async function readFiles(packed: Buffer, encoding: Encoding, maxBytes: number): Promise<Map<HeaderFile, Buffer>> {
  const files = new Map<HeaderFile, Buffer>();
  let total = 0;
  await readSegment(once(packed), { encoding, subject: SUBJECT }, async (entry, body) => {
    const expected = HEADER_FILES[files.size];
    if (entry.path !== expected || entry.type !== 'file' || entry.mode !== 0o644) {
      throw hostile(
        quoted(entry.path),
        `is in the header, where ${expected ? `the file ${quoted(expected)}` : 'nothing more'} must be`,
      );
    }
    total += entry.size;
    if (total > maxBytes)
      throw hostile(quoted(entry.path), `brings the header to ${total} bytes; ${maxBytes} are allowed`);
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    files.set(expected, Buffer.concat(pieces));
  });
  const missing = HEADER_FILES[files.size];
  if (missing) throw mismatch(quoted(missing), `is missing in ${SUBJECT}`);
  return files;
}

function fileText(files: ReadonlyMap<HeaderFile, Buffer>, name: HeaderFile): string {
  return files.get(name)?.toString('utf8') ?? '';
}

function parsePackageManifest(text: string): PackageManifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw mismatch(quoted('manifest.json'), 'is not JSON', error);
  }
  const parsed = packageManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw mismatch(
    quoted('manifest.json'),
    `is no package manifest that this version reads (${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''})`,
    parsed.error,
  );
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}
