/** Waiting that can be aborted, and delays that spread a fleet: exponential back-off with full jitter. */
import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms`; rejects with the signal's reason when it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {}).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** 0 <= x < 1. */
  readonly random?: () => number;
}

export interface Backoff {
  /** How many delays were given since the last reset. */
  readonly attempts: number;
  /** The next delay, ms: uniform between 0 and min(maxMs, initialMs * 2^attempts), and at least `atLeastMs`. */
  next(atLeastMs?: number): number;
  reset(): void;
}

export function createBackoff(options: BackoffOptions): Backoff {
  const random = options.random ?? Math.random;
  let attempts = 0;
  return {
    get attempts() {
      return attempts;
    },
    next(atLeastMs = 0) {
      const ceiling = Math.min(options.maxMs, options.initialMs * 2 ** Math.min(attempts, 30));
      attempts += 1;
      return atLeastMs + random() * ceiling;
    },
    reset() {
      attempts = 0;
    },
  };
}

/** `ms` moved by up to `share` of it to either side. */
export function jitter(ms: number, share: number, random: () => number = Math.random): number {
  return ms * (1 + share * (2 * random() - 1));
}

/** Wakes the one who waits; rung before anybody waits, the next wait is over at once. */
export interface Bell {
  ring(): void;
  /** Until it rings, `ms` are over, or the signal is aborted. Never rejects. */
  wait(options: { ms?: number; signal: AbortSignal }): Promise<void>;
}

export function createBell(): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait({ ms, signal }) {
      if (!rung && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = ms === undefined ? undefined : setTimeout(() => wake?.(), Math.min(ms, 2 ** 31 - 1));
          const onAbort = (): void => wake?.();
          wake = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', onAbort);
            wake = undefined;
            resolve();
          };
          signal.addEventListener('abort', onAbort, { once: true });
        });
      }
      rung = false;
    },
  };
}
