/**
 * Long work in small pieces, so that it never holds up the event loop: a generator yields wherever it may pause, and who
 * runs it decides when it does. Each yield tells how much was done since the one before, in steps of the search (some
 * ten million a second). Leaves to others: what is worked on.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

export type Work<T> = Generator<number, T, void>;

/** No piece of work does much more than this many steps before it yields. */
export const STEPS_PER_PIECE = 2000;

export function atOnce<T>(work: Work<T>): T {
  for (;;) {
    const piece = work.next();
    if (piece.done) return piece.value;
  }
}

export interface PacerOptions {
  /** How long work may go on before the event loop gets its turn. */
  readonly sliceMs?: number;
  readonly now?: () => number;
  /** Fulfilled when the event loop has gone round. */
  readonly yieldTurn?: () => Promise<unknown>;
}

export interface Pacer {
  /** Rejected with what the work throws. */
  run<T>(work: Work<T>): Promise<T>;
}

/** Works on everything it was given by turns, one slice in each turn of the event loop, however much there is. */
export function createPacer(options: PacerOptions = {}): Pacer {
  const { sliceMs = 2, now = () => performance.now(), yieldTurn = nextTurn } = options;
  /** Each does a slice and says whether it is at its end. */
  const waiting: (() => boolean)[] = [];
  let running = false;

  async function goRound(): Promise<void> {
    running = true;
    for (let slice = waiting.shift(); slice; slice = waiting.shift()) {
      if (!slice()) waiting.push(slice);
      await yieldTurn();
    }
    running = false;
  }

  return {
    run<T>(work: Work<T>): Promise<T> {
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      waiting.push(() => {
        const end = now() + sliceMs;
        try {
          do {
            const piece = work.next();
            if (!piece.done) continue;
            resolve(piece.value);
            return true;
          } while (now() < end);
        } catch (error) {
          reject(error);
          return true;
        }
        return false;
      });
      if (!running) void goRound();
      return promise;
    },
  };
}
