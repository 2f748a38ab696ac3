/**
 * Opens one segment, or the tar in it: bytes in, checked entries and digests out. A segment is exactly one gzip member or
 * zstd frame, used to its last byte. Memory is flat; what the consumer does not take is not decompressed.
 * Leaves to others: what the digests should be, which entries pass.
 */
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Encoding, Sha256 } from '@leonore/protocol';
import { corrupt } from './archive-fault.ts';
import { createByteReader } from './byte-reader.ts';
import { createDecoder, decoderFault } from './compression.ts';
import { readTar, type TarVisitor } from './tar-reader.ts';
import { walkZstdFrame } from './zstd-frame.ts';

export interface SegmentDigests {
  /** Compressed bytes. */
  readonly size: number;
  /** SHA-256 of the compressed bytes. */
  readonly sha256: Sha256;
  /** SHA-256 of the uncompressed tar. */
  readonly contentSha256: Sha256;
}

/** `subject`: what it is, as shown to people. An error of `visit` or of the source ends it as it is. */
export async function readSegment(
  source: AsyncIterable<Uint8Array>,
  options: { readonly encoding: Encoding; readonly subject: string },
  visit: TarVisitor,
): Promise<SegmentDigests> {
  const { encoding, subject } = options;
  const packed = createHash('sha256');
  let contentSha256: Sha256 | undefined;
  const frame = encoding === 'zstd' ? walkZstdFrame(subject) : undefined;
  const decoder = createDecoder(encoding);
  let size = 0;
  /** What failed first outside of the decoder; whatever else then closes early only follows from it. */
  let failed: { readonly error: unknown; readonly in: 'source' | 'consumer' } | undefined;

  async function* feed(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of source) {
        size += chunk.length;
        packed.update(chunk);
        frame?.push(chunk);
        yield chunk;
      }
    } catch (error) {
      failed ??= { error, in: 'source' };
      throw error;
    }
  }
  async function consume(decoded: AsyncIterable<Buffer>): Promise<void> {
    try {
      contentSha256 = await readContent(decoded, subject, visit);
    } catch (error) {
      failed ??= { error, in: 'consumer' };
      throw error;
    }
  }

  try {
    await pipeline(feed, decoder, consume);
  } catch (error) {
    if (failed?.in === 'source') throw failed.error;
    // The decoder's own errors come through the consumer, too.
    throw decoderFault(failed ? failed.error : error, subject);
  }
  if (contentSha256 === undefined || decoder.bytesWritten !== size || (frame && frame.length !== size)) {
    throw corrupt(subject, 'has bytes behind its end');
  }
  return { size, sha256: packed.digest('hex') as Sha256, contentSha256 };
}

/** Reads a tar as it is, closes the source in every case, and gives the SHA-256 of its bytes. */
export async function readContent(
  source: AsyncIterable<Uint8Array>,
  subject: string,
  visit: TarVisitor,
): Promise<Sha256> {
  const content = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      content.update(chunk);
      yield chunk;
    }
  }
  await using bytes = createByteReader(hashed());
  await readTar(bytes, subject, visit);
  return content.digest('hex') as Sha256;
}
