/** Makes the delta of one pair of builds, from their segments in the blob store to a delta there, or notes why there is none. */
import type { Encoding, Sha256 } from '@leonore/protocol';
import type { BlobStore, DeltaPair, Repositories } from '../../repositories/mod.ts';
import type { DeltaMaker, PackedTar } from './delta-maker.ts';
import type { Delta, DeltaStore } from './delta-store.ts';

export interface MakingCounts {
  readonly made: number;
  readonly madeBytes: number;
  /** They would not have saved enough. */
  readonly useless: number;
  readonly failed: number;
}

export interface DeltaMaking {
  /** Rejects when it could not be made; when the signal is why, it is as if it had not been tried. */
  make(pair: DeltaPair, signal: AbortSignal): Promise<void>;
  readonly counts: MakingCounts;
}

/** A delta above this part of the smallest segment is not worth keeping. */
const WORTHWHILE = 0.9;

/** The segment that a build's tar is taken from. */
interface Source {
  readonly encoding: Encoding;
  readonly sha256: Sha256;
  readonly size: number;
  /** Of the segments it was published in, bytes. */
  readonly smallest: number;
  readonly unpackedSize: number;
}

export function createDeltaMaking(
  deps: { repositories: Repositories; blobs: BlobStore; maker: DeltaMaker; store: DeltaStore },
  { maxPairBytes }: { maxPairBytes: number },
): DeltaMaking {
  const { repositories, blobs, maker, store } = deps;
  const counts = { made: 0, madeBytes: 0, useless: 0, failed: 0 };

  async function carryOut(pair: DeltaPair, from: Source, to: Source): Promise<void> {
    const [oldTar, newTar] = await Promise.all([packedTar(pair.from, from), packedTar(pair.to, to)]);
    const outcome = await maker.make({ from: oldTar, to: newTar, maxPairBytes });
    if (outcome.kind === 'too-large') return giveUp(pair);
    if (outcome.delta.length > to.smallest * WORTHWHILE) return giveUp(pair, outcome);
    if (!(await store.keep(pair, outcome.delta, outcome))) return;
    counts.made += 1;
    counts.madeBytes += outcome.delta.length;
  }

  async function giveUp(pair: DeltaPair, sizes?: Pick<Delta, 'fromSize' | 'toSize'>): Promise<void> {
    counts.useless += 1;
    await store.giveUp(pair, sizes);
  }

  /** Undefined when it is not there (any more), or is no tar. */
  async function sourceOf(contentSha256: Sha256): Promise<Source | undefined> {
    const build = await repositories.read.deltas.build(contentSha256);
    const tars = (build?.segments ?? []).flatMap(({ encoding, ...segment }) =>
      encoding === 'raw' ? [] : [{ ...segment, encoding }],
    );
    const [first] = tars;
    if (!build || !first) return undefined;
    // zstd is unpacked in a fraction of the time.
    const segment = tars.find(({ encoding }) => encoding === 'zstd') ?? first;
    return { ...segment, smallest: Math.min(...tars.map(({ size }) => size)), unpackedSize: build.unpackedSize };
  }

  /** In a buffer of its own, that can be handed over. */
  async function packedTar(contentSha256: Sha256, { encoding, sha256, size }: Source): Promise<PackedTar> {
    const bytes = new Uint8Array(size);
    let at = 0;
    for await (const piece of blobs.read(sha256)) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return { encoding, bytes, contentSha256 };
  }

  return {
    async make(pair, signal) {
      // It may be there since it was asked for, made by another node.
      if ((await store.find(pair)).kind !== 'unknown') return;
      const [from, to] = await Promise.all([sourceOf(pair.from), sourceOf(pair.to)]);
      if (!from || !to) return;
      if (from.unpackedSize + to.unpackedSize > maxPairBytes) return giveUp(pair);
      await store.begin(pair);
      try {
        await carryOut(pair, from, to);
      } catch (error) {
        if (signal.aborted) return store.breakOff(pair);
        counts.failed += 1;
        throw error;
      }
    },
    get counts() {
      return { ...counts };
    },
  };
}
