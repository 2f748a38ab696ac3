/**
 * Which segments a publication works on, and which are being taken away: the two never meet. A publication holds its
 * segments from before it looks at them until its build is written; what is being taken away it waits for, and finds
 * missing. Between nodes that share a store the age of the blob stands in for that: a held one is touched first.
 */
import type { Sha256 } from '@leonore/protocol';

export interface SegmentHolds {
  /** Settles when none of them is being taken away; from the call on none will be. */
  hold(sha256s: readonly Sha256[]): Promise<void>;
  release(sha256s: readonly Sha256[]): void;
  /** Undefined when somebody holds it or takes it away already. */
  takeAway<T>(sha256: Sha256, work: () => Promise<T>): Promise<T | undefined>;
}

export function createSegmentHolds(): SegmentHolds {
  const held = new Map<Sha256, number>();
  const going = new Map<Sha256, Promise<unknown>>();

  return {
    async hold(sha256s) {
      for (const sha256 of sha256s) held.set(sha256, (held.get(sha256) ?? 0) + 1);
      await Promise.allSettled(sha256s.map((sha256) => going.get(sha256) ?? Promise.resolve()));
    },
    release(sha256s) {
      for (const sha256 of sha256s) {
        const left = (held.get(sha256) ?? 1) - 1;
        if (left > 0) held.set(sha256, left);
        else held.delete(sha256);
      }
    },
    async takeAway(sha256, work) {
      if (held.has(sha256) || going.has(sha256)) return undefined;
      const gone = work().finally(() => going.delete(sha256));
      going.set(sha256, gone);
      return gone;
    },
  };
}
