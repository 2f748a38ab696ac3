/**
 * The pairs of builds that a delta is to be made for: each once, one after the other, those that a rollout waits for first.
 * Leaves to others: the making.
 */
import type { DeltaPair } from '../../repositories/mod.ts';

/** `planned`: gateways are about to update; `spare`: somebody may want it some day. */
export type Urgency = 'planned' | 'spare';

export interface DeltaQueue extends AsyncDisposable {
  /** Fulfilled when it was done, well or not; undefined when the queue is full: ask again later. */
  ask(pair: DeltaPair, urgency: Urgency): Promise<void> | undefined;
  /**
   * Waits for these, but no longer than `maxWaitMs` after the first that is planned began to wait since none was: however
   * many ask while it is busy, and one after the other, together they wait no longer than that.
   */
  settled(asked: readonly Promise<void>[], signal?: AbortSignal): Promise<void>;
  readonly length: number;
}

interface Job {
  readonly key: string;
  readonly pair: DeltaPair;
  urgency: Urgency;
  readonly done: PromiseWithResolvers<void>;
}

export function createDeltaQueue(
  deps: {
    /** Stops when the signal does. */
    make: (pair: DeltaPair, signal: AbortSignal) => Promise<void>;
    onError: (error: unknown) => void;
  },
  options: { maxQueued: number; maxWaitMs: number },
): DeltaQueue {
  const stopping = new AbortController();
  const jobs = new Map<string, Job>();
  let running: Promise<void> | undefined;
  /** Since when there is always something planned. */
  let busySince: number | undefined;

  function next(): Job | undefined {
    const waiting = [...jobs.values()];
    return waiting.find(({ urgency }) => urgency === 'planned') ?? waiting[0];
  }

  async function run(): Promise<void> {
    for (let job = next(); job && !stopping.signal.aborted; job = next()) {
      try {
        await deps.make(job.pair, stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) deps.onError(error);
      }
      jobs.delete(job.key);
      job.done.resolve();
      if (![...jobs.values()].some(({ urgency }) => urgency === 'planned')) busySince = undefined;
    }
    running = undefined;
  }

  function add(key: string, pair: DeltaPair, urgency: Urgency): Job {
    const job: Job = { key, pair, urgency, done: Promise.withResolvers() };
    jobs.set(key, job);
    return job;
  }

  return {
    ask(pair, urgency) {
      const key = pairKey(pair);
      // What may be of use some day leaves room for what is.
      const room = urgency === 'planned' ? options.maxQueued : options.maxQueued / 2;
      if (stopping.signal.aborted || (!jobs.has(key) && jobs.size >= room)) return undefined;
      const job = jobs.get(key) ?? add(key, pair, urgency);
      if (urgency === 'planned') {
        job.urgency = urgency;
        busySince ??= performance.now();
      }
      // Not at once: who asks for several has them all in the queue before the first begins.
      running ??= Promise.resolve().then(run);
      return job.done.promise;
    },
    async settled(asked, signal) {
      if (busySince === undefined || asked.length === 0 || signal?.aborted) return;
      const { promise: ended, resolve } = Promise.withResolvers<void>();
      const end = (): void => resolve();
      const timer = setTimeout(end, Math.max(0, busySince + options.maxWaitMs - performance.now()));
      const signals = [stopping.signal, ...(signal ? [signal] : [])];
      for (const each of signals) each.addEventListener('abort', end);
      await Promise.race([Promise.all(asked), ended]);
      clearTimeout(timer);
      for (const each of signals) each.removeEventListener('abort', end);
    },
    get length() {
      return jobs.size;
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
      for (const { done } of jobs.values()) done.resolve();
      jobs.clear();
    },
  };
}

export function pairKey({ from, to }: DeltaPair): string {
  return `${from}/${to}`;
}
