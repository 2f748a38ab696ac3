/** Waiting in tests: for a condition, never for luck. */
import { setTimeout as delay } from 'node:timers/promises';

/** Fulfilled with the first value that is neither undefined nor false. @throws with `what` after `timeoutMs`. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  // Many a condition reads all of /proc.
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await delay(pauseMs);
  }
}
