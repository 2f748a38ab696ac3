/**
 * A delta: the way from one build's tar to another's, as one zstd frame whose dictionary is the old tar
 * (`zstd --patch-from` makes and applies the same). Both tars lie in memory; the delta and what comes out are streamed.
 * Leaves to others: where the tars come from, and to check what comes out by its digest.
 */
import { pipeline } from 'node:stream/promises';
import { constants, createZstdDecompress, zstdCompressSync } from 'node:zlib';
import { isLeonoreError } from '@leonore/protocol';
import { corrupt, hostile } from './archive-fault.ts';
import { CHUNK_BYTES, decoderFault } from './compression.ts';
import { walkZstdFrame } from './zstd-frame.ts';

/** Old and new tar together, bytes: more than that is sent in full. Making a delta takes three times as much memory and 320 MiB. */
export const MAX_DELTA_PAIR_BYTES = 256 * 2 ** 20;

/** An eighth smaller for ten times the work: for pairs that are done in seconds all the same. */
const STRONG = { level: 19, maxPairBytes: 32 * 2 ** 20 } as const;
/** Below 12 zstd does not look far enough back. */
const FAST_LEVEL = 12;
/** A match is found where the table still has an entry for it. One for every few bytes of both tars is enough; this many take 320 MiB. */
const MAX_HASH_LOG = 25;
const [MIN_WINDOW_LOG, MAX_WINDOW_LOG] = [10, 31];

/** `maxBytes`: more than that never comes out. `subject`: what it is about, as shown to people. */
export interface DeltaLimits {
  readonly maxBytes: number;
  readonly subject?: string;
}

/** Takes its time (up to ten seconds): not for a thread that others wait for. */
export function makeDelta(oldTar: Uint8Array, newTar: Uint8Array): Buffer {
  const pairBytes = oldTar.length + newTar.length;
  const windowLog = windowLogFor(pairBytes);
  const isStrong = pairBytes <= STRONG.maxPairBytes;
  return zstdCompressSync(newTar, {
    chunkSize: CHUNK_BYTES,
    dictionary: oldTar,
    pledgedSrcSize: newTar.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: isStrong ? STRONG.level : FAST_LEVEL,
      [constants.ZSTD_c_windowLog]: windowLog,
      // It finds only long matches, instead of those that the level finds.
      [constants.ZSTD_c_enableLongDistanceMatching]: 2,
      ...(isStrong ? {} : { [constants.ZSTD_c_hashLog]: Math.min(windowLog, MAX_HASH_LOG) }),
      [constants.ZSTD_c_checksumFlag]: 1,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
  });
}

/**
 * The new tar, piece by piece; the source is closed in every case, its errors come as they are. `oldTar` is copied once
 * and the decoder's window takes up to the new tar's size, rounded up to a power of two.
 * @throws LeonoreError `archive.corrupt` when the delta is damaged or another tar's, `archive.hostile` when it makes more
 *   than `maxBytes` or asks for more memory than that takes
 */
export async function* applyDelta(
  delta: AsyncIterable<Uint8Array>,
  oldTar: Uint8Array,
  { maxBytes, subject = 'the delta' }: DeltaLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const frame = walkZstdFrame(subject);
  const windowLogMax = windowLogFor(oldTar.length + maxBytes);
  const decoder = createZstdDecompress({
    chunkSize: CHUNK_BYTES,
    dictionary: oldTar,
    params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
  });
  let taken = 0;
  let broken: { readonly error: unknown } | undefined;

  async function* feed(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of delta) {
        taken += chunk.length;
        frame.push(chunk);
        yield chunk;
      }
    } catch (error) {
      broken = { error };
      throw error;
    }
  }

  const feeding = pipeline(feed, decoder);
  feeding.catch(() => undefined);
  try {
    let made = 0;
    for await (const chunk of decoder as AsyncIterable<Buffer>) {
      made += chunk.length;
      if (made > maxBytes) throw hostile(subject, `makes more than the ${maxBytes} bytes that it may`);
      yield chunk;
    }
    await feeding;
  } catch (error) {
    if (broken) throw broken.error;
    throw isLeonoreError(error) ? error : decoderFault(error, subject, windowLogMax);
  } finally {
    decoder.destroy();
  }
  if (frame.length !== taken) throw corrupt(subject, 'is cut off or has bytes behind its end');
}

function windowLogFor(bytes: number): number {
  return Math.min(Math.max(Math.ceil(Math.log2(bytes)), MIN_WINDOW_LOG), MAX_WINDOW_LOG);
}
