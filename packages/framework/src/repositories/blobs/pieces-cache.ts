/** The digests of blobs that were read lately, within a bound of memory. */
import type { Sha256 } from '@leonore/protocol';
import type { Pieces } from './digests.ts';

export interface PiecesCache {
  get(sha256: Sha256): Pieces | undefined;
  keep(sha256: Sha256, pieces: Pieces): void;
}

export function createPiecesCache(maxBytes: number): PiecesCache {
  /** In the order of their last use. */
  const items = new Map<Sha256, Pieces>();
  let used = 0;

  function forget(sha256: Sha256): void {
    used -= items.get(sha256)?.digests.length ?? 0;
    items.delete(sha256);
  }

  function keep(sha256: Sha256, pieces: Pieces): void {
    forget(sha256);
    items.set(sha256, pieces);
    used += pieces.digests.length;
    for (const oldest of items.keys()) {
      if (used <= maxBytes) break;
      forget(oldest);
    }
  }

  return {
    get(sha256) {
      const hit = items.get(sha256);
      if (hit) keep(sha256, hit);
      return hit;
    },
    keep,
  };
}
