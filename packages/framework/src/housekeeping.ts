/**
 * Housekeeping: jobs that keep what the node stores from growing for ever, one after another, at its start and then at
 * intervals. What each of them takes away, its room knows.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface HousekeepingJob {
  readonly name: string;
  run(signal: AbortSignal): Promise<unknown>;
}

export interface Housekeeping extends AsyncDisposable {
  /** Runs all jobs once more, after those that run now. Fulfilled when each has ended, well or not. */
  sweep(): Promise<void>;
}

/** A job that fails is told of and tried again at the next interval; the others run. */
export function createHousekeeping(
  jobs: readonly HousekeepingJob[],
  deps: { onError: (error: unknown, job: string) => void },
  options: { intervalMs: number },
): Housekeeping {
  const stopping = new AbortController();
  const { signal } = stopping;
  let sweeping = Promise.resolve();

  async function sweepOnce(): Promise<void> {
    for (const job of jobs) {
      if (signal.aborted) return;
      try {
        await job.run(signal);
      } catch (error) {
        if (!signal.aborted) deps.onError(error, job.name);
      }
    }
  }

  function sweep(): Promise<void> {
    sweeping = sweeping.then(sweepOnce);
    return sweeping;
  }

  async function sweepForEver(): Promise<void> {
    for (;;) {
      await sweep();
      await sleep(options.intervalMs, undefined, { signal, ref: false });
    }
  }

  const running = sweepForEver().catch(() => {});

  return {
    sweep,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
      await sweeping;
    },
  };
}
