/**
 * Waiting that can be aborted, and delays that spread a fleet: exponential back-off with full jitter. Time is passed in.
 * Waits are of a clock that never jumps, so that a date that is set right (or wrong) neither ends nor prolongs one.
 */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970, as far as this machine knows. May jump. */
  now(): number;
  /** Milliseconds since some moment. Never jumps. */
  elapsed(): number;
  /** Waits `ms`; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The longest that a timer of Node can take, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Waits `ms`; rejects with the signal's reason when it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(Math.min(ms, MAX_TIMER_MS), undefined, signal ? { signal } : {}).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}

export const systemClock: Clock = { now: () => Date.now(), elapsed: () => performance.now(), sleep };

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** 0 <= x < 1. */
  readonly random?: (() => number) | undefined;
}

export interface Backoff {
  /** How many delays were given since the last reset. */
  readonly attempts: number;
  /**
   * The next delay, ms: uniform between 0 and min(maxMs, initialMs * 2^attempts). With `atLeastMs` it comes on top, and is
   * spread over as much again: all whom a server sends away with the same `Retry-After` do not come back at once.
   */
  next(atLeastMs?: number): number;
  reset(): void;
}

/** However long the server is away, it is asked for at least so often, ms. */
export const MAX_BACKOFF_MS = 300_000;

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
      return atLeastMs + random() * Math.max(ceiling, atLeastMs);
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

export function createBell(clock: Pick<Clock, 'sleep'> = systemClock): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait({ ms, signal }) {
      if (!rung && !signal.aborted) {
        const over = new AbortController();
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const onAbort = (): void => wake?.();
        signal.addEventListener('abort', onAbort, { once: true });
        if (ms !== undefined)
          void clock.sleep(ms, over.signal).then(
            () => wake?.(),
            () => undefined,
          );
        await woken;
        wake = undefined;
        signal.removeEventListener('abort', onAbort);
        over.abort();
      }
      rung = false;
    },
  };
}

/** Fulfilled when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
