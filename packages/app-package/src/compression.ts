/**
 * The two compressions, with every choice fixed that decides about bytes or memory: what compresses, what opens, and
 * the errors of zlib in our words. Leaves to others: what is inside.
 */
import type { Transform } from 'node:stream';
import {
  constants,
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  gzipSync,
  zstdCompressSync,
  type ZlibOptions,
  type ZstdOptions,
} from 'node:zlib';
import { formatBytes, isLeonoreError, type Encoding, type LeonoreError } from '@leonore/protocol';
import { corrupt, hostile } from './archive-fault.ts';

export const CHUNK_BYTES = 65_536;
const ZSTD_LEVEL = 12;
/** 4 MiB: what a gateway needs at most to decompress. */
const ZSTD_WINDOW_LOG = 22;
/** Leaves room for a later writer; the decoder holds twice 8 MiB at most, whatever a frame asks for. */
const ZSTD_MAX_WINDOW_LOG = 23;

export const FILE_SUFFIX = { gzip: '.tar.gz', zstd: '.tar.zst' } as const satisfies Record<Encoding, string>;

const GZIP: ZlibOptions = { level: 9, memLevel: 9, windowBits: 15, chunkSize: CHUNK_BYTES };
const ZSTD: ZstdOptions = {
  chunkSize: CHUNK_BYTES,
  params: {
    [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL,
    [constants.ZSTD_c_windowLog]: ZSTD_WINDOW_LOG,
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: 1,
  },
};

const GZIP_HEADER: ZlibOptions = { ...GZIP, level: 6 };
const ZSTD_HEADER: ZstdOptions = { ...ZSTD, params: { ...ZSTD.params, [constants.ZSTD_c_compressionLevel]: 3 } };

/** `size`: bytes that will come; a small frame says so and asks for no more memory than that. */
export function createEncoder(encoding: Encoding, size: number): Transform {
  return encoding === 'gzip' ? createGzip(GZIP) : createZstdCompress({ ...ZSTD, pledgedSrcSize: size });
}

/** For what is small and made often: a header is digests for the most part, on which a higher level finds nothing more. */
export function compressHeader(encoding: Encoding, bytes: Uint8Array): Buffer {
  if (encoding === 'zstd') return zstdCompressSync(bytes, ZSTD_HEADER);
  const member = gzipSync(bytes, GZIP_HEADER);
  fixGzipHeader(member);
  return member;
}

/** `bytesWritten`: compressed bytes that it used. */
export interface Decoder extends Transform {
  readonly bytesWritten: number;
}

export function createDecoder(encoding: Encoding): Decoder {
  return encoding === 'gzip'
    ? createGunzip({ chunkSize: CHUNK_BYTES })
    : createZstdDecompress({
        chunkSize: CHUNK_BYTES,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_MAX_WINDOW_LOG },
      });
}

/** A gzip header tells when and on which system it was made (RFC 1952, MTIME and OS); ours says: no time, unknown system. */
export function fixGzipHeader(start: Uint8Array): void {
  start.fill(0, 4, 8);
  start[9] = 0xff;
}

/** What a decoder throws as a LeonoreError; other errors as they are. */
export function decoderFault(error: unknown, subject: string, maxWindowLog = ZSTD_MAX_WINDOW_LOG): unknown {
  if (isLeonoreError(error) || !(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  if (code === 'ZSTD_error_frameParameter_windowTooLarge') {
    return hostile(subject, `asks for more than ${formatBytes(2 ** maxWindowLog)} of memory to be decompressed`, error);
  }
  if (code === 'Z_MEM_ERROR' || code === 'ZSTD_error_memory_allocation') return error;
  // Node's decoders stop as if it were their end when bytes are left that belong to no frame.
  if (code === 'ERR_STREAM_PREMATURE_CLOSE') return corrupt(subject, 'has bytes behind its end', error);
  return /^(Z_|ZSTD_error_)/.test(code) ? damaged(error, subject) : error;
}

function damaged(error: Error, subject: string): LeonoreError {
  return corrupt(subject, `cannot be decompressed (${error.message})`, error);
}
