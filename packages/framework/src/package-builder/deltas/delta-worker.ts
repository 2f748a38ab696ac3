/**
 * What runs in the delta maker's thread (`delta-maker.ts`): unpacks two segments and makes the delta between their tars.
 * Dies of what goes wrong.
 */
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { makeDelta } from '@leonore/app-package';
import type { DeltaJob, DeltaOutcome, PackedTar } from './delta-maker.ts';

const CHUNK_BYTES = 2 ** 20;

parentPort?.on('message', (job: DeltaJob) => {
  const outcome = carryOut(job);
  parentPort?.postMessage(outcome, outcome.kind === 'made' ? [outcome.delta.buffer] : []);
});

function carryOut({ from, to, maxPairBytes }: DeltaJob): DeltaOutcome {
  const oldTar = unpack(from, maxPairBytes);
  const newTar = oldTar && unpack(to, maxPairBytes - oldTar.length);
  if (!oldTar || !newTar) return { kind: 'too-large' };
  // Of its own memory, so that it can be handed over.
  const delta = new Uint8Array(makeDelta(oldTar, newTar));
  return { kind: 'made', delta, fromSize: oldTar.length, toSize: newTar.length };
}

/** Undefined when it is larger. */
function unpack({ encoding, bytes, contentSha256 }: PackedTar, maxBytes: number): Buffer | undefined {
  const options = { maxOutputLength: Math.max(maxBytes, 1), chunkSize: CHUNK_BYTES };
  let tar: Buffer;
  try {
    tar = encoding === 'gzip' ? gunzipSync(bytes, options) : zstdDecompressSync(bytes, options);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw error;
  }
  const found = createHash('sha256').update(tar).digest('hex');
  if (found !== contentSha256) throw new Error(`the tar has the digest ${found}, not ${contentSha256}`);
  return tar;
}
