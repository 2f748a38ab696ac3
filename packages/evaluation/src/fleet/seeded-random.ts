/** Random numbers that a seed repeats: the same seed gives the same fleet. */
import { createHash } from 'node:crypto';

/** mulberry32: uniform in [0, 1). Good for spreading, worthless for secrets. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 64 hex digits: the secret of a simulated gateway, so that the same fleet can come back to the same node. */
export function seededSecret(seed: number, id: string): string {
  return createHash('sha256').update(`leonore simulated gateway ${seed} ${id}`).digest('hex');
}
