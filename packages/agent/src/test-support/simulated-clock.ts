/** Time that passes when the test says so: months in a moment. */
import type { Clock } from '../connectivity/mod.ts';

export interface SimulatedClock extends Clock {
  /** Lets `ms` pass; whoever waits is woken in the order of their times, and gets on before the next one. */
  pass(ms: number): Promise<void>;
  /** Sets the date; no time passes. */
  jump(ms: number): void;
}

export function simulatedClock(start = Date.UTC(2026, 0, 1)): SimulatedClock {
  let elapsed = 0;
  let date = start;
  const waiting = new Set<{ at: number; resolve: () => void }>();
  return {
    now: () => date + elapsed,
    elapsed: () => elapsed,
    jump: (ms) => void (date += ms),
    sleep(ms, signal) {
      signal?.throwIfAborted();
      return new Promise((resolve, reject) => {
        const one = { at: elapsed + ms, resolve: () => (waiting.delete(one), resolve()) };
        waiting.add(one);
        signal?.addEventListener('abort', () => (waiting.delete(one), reject(signal.reason as Error)), { once: true });
      });
    },
    async pass(ms) {
      const end = elapsed + ms;
      for (;;) {
        // What can be done without time passing is done.
        await new Promise((resolve) => setImmediate(resolve));
        const next = [...waiting].reduce<{ at: number; resolve: () => void } | undefined>(
          (first, one) => (first && first.at <= one.at ? first : one),
          undefined,
        );
        if (!next || next.at > end) break;
        elapsed = Math.max(elapsed, next.at);
        next.resolve();
      }
      elapsed = end;
    },
  };
}
