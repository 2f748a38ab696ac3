/**
 * The header segment as bytes: compressed so that a reader of the whole file finds its end without decoding it. A gzip
 * member says its own length in an extra field (RFC 1952, section 2.3.1.1, id "LN"); a zstd frame's blocks are walked.
 * Leaves to others: what is in the header.
 */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import type { Encoding, Sha256 } from '@leonore/protocol';
import { corrupt, mismatch } from './archive-fault.ts';
import { DEFAULT_ARCHIVE_LIMITS } from './archive-limits.ts';
import { compressHeader } from './compression.ts';
import { walkZstdFrame, ZSTD_MAGIC } from './zstd-frame.ts';

/** Tells how a package begins: its task document says the same of a package that is downloaded. */
export interface HeaderPlace {
  readonly encoding: Encoding;
  /** Bytes. */
  readonly headerSize: number;
  readonly headerSha256: Sha256;
}

const GZIP_MAGIC = Buffer.from('1f8b08', 'hex');
const FEXTRA = 0x04;
/** XLEN 8: id "LN", length 4, then the length of the whole member, 32 bits, little-endian. */
const EXTRA_PREFIX = Buffer.from('08004c4e0400', 'hex');
const GZIP_HEADER_BYTES = 10;
const EXTRA_BYTES = EXTRA_PREFIX.length + 4;
const CHUNK_BYTES = 65_536;

export function encodeHeaderSegment(encoding: Encoding, tar: Uint8Array): Buffer {
  const packed = compressHeader(encoding, tar);
  if (encoding === 'zstd') return packed;
  const header = Buffer.from(packed.subarray(0, GZIP_HEADER_BYTES));
  header[3] = FEXTRA;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(packed.length + EXTRA_BYTES);
  return Buffer.concat([header, EXTRA_PREFIX, length, packed.subarray(GZIP_HEADER_BYTES)]);
}

/**
 * Where the header of a package file ends, for a file that came without its task document. The digest is that of the
 * bytes found: it shows what the file says of itself, not that somebody vouches for it.
 * @throws LeonoreError `archive.mismatch` when it is no package, `archive.corrupt` when it is cut off in its header
 */
export async function findHeader(file: string): Promise<HeaderPlace> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const start = await readAt(handle, 0, GZIP_HEADER_BYTES + EXTRA_BYTES);
    const encoding = detectEncoding(start, file);
    const headerSize = encoding === 'gzip' ? gzipHeaderSize(start, file) : await zstdHeaderSize(handle, file);
    if (headerSize > DEFAULT_ARCHIVE_LIMITS.maxHeaderBytes) {
      throw mismatch(file, `has a header of ${headerSize} bytes; ${DEFAULT_ARCHIVE_LIMITS.maxHeaderBytes} are allowed`);
    }
    if (headerSize > size) throw corrupt(file, `is cut off: its header has ${headerSize} bytes, the file ${size}`);
    const hash = createHash('sha256');
    hash.update(await readAt(handle, 0, headerSize));
    return { encoding, headerSize, headerSha256: hash.digest('hex') as Sha256 };
  } finally {
    await handle.close();
  }
}

function detectEncoding(start: Buffer, file: string): Encoding {
  if (start.subarray(0, 3).equals(GZIP_MAGIC)) return 'gzip';
  if (start.subarray(0, 4).equals(ZSTD_MAGIC)) return 'zstd';
  throw mismatch(file, 'is no package: it begins neither with gzip nor with zstd');
}

function gzipHeaderSize(start: Buffer, file: string): number {
  const extra = start.subarray(GZIP_HEADER_BYTES, GZIP_HEADER_BYTES + EXTRA_PREFIX.length);
  if (start[3] !== FEXTRA || !extra.equals(EXTRA_PREFIX)) {
    throw mismatch(file, 'is no package: its first gzip member does not tell its length');
  }
  return start.readUInt32LE(GZIP_HEADER_BYTES + EXTRA_PREFIX.length);
}

async function zstdHeaderSize(handle: FileHandle, file: string): Promise<number> {
  const frame = walkZstdFrame(file);
  for (let at = 0; at <= DEFAULT_ARCHIVE_LIMITS.maxHeaderBytes; at += CHUNK_BYTES) {
    const chunk = await readAt(handle, at, CHUNK_BYTES);
    frame.push(chunk);
    if (frame.length !== undefined) return frame.length;
    if (chunk.length < CHUNK_BYTES) throw corrupt(file, 'is cut off in its header');
  }
  throw mismatch(file, `has a header of more than ${DEFAULT_ARCHIVE_LIMITS.maxHeaderBytes} bytes`);
}

/** Fewer bytes than asked only at the end of the file. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
