/**
 * Makes deltas in a thread of its own, one at a time. The thread is started by the first and ended when there was nothing
 * to do for a while: what it took goes back to the system. When it dies, or takes too long, the delta it was at fails and
 * the next one starts another thread. Leaves to others: which deltas, and where the bytes come from and go.
 */
import { Worker } from 'node:worker_threads';
import { LeonoreError, type Encoding, type Sha256 } from '@leonore/protocol';

/** A segment's bytes; they are handed over, so they must have a buffer of their own. */
export interface PackedTar {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentSha256: Sha256;
}

export interface DeltaJob {
  readonly from: PackedTar;
  readonly to: PackedTar;
  /** Of both tars together. */
  readonly maxPairBytes: number;
}

export type DeltaOutcome =
  | {
      readonly kind: 'made';
      readonly delta: Uint8Array<ArrayBuffer>;
      /** Of the tars, bytes. */
      readonly fromSize: number;
      readonly toSize: number;
    }
  | { readonly kind: 'too-large' };

export interface DeltaMaker extends AsyncDisposable {
  make(job: DeltaJob): Promise<DeltaOutcome>;
}

export interface DeltaMakerOptions {
  /** For one delta, milliseconds. */
  readonly timeLimitMs?: number;
  /** Until a thread without work ends, milliseconds. */
  readonly idleMs?: number;
  readonly script?: URL;
}

/** The tars and what zlib needs do not count. */
const HEAP_MIB = 128;

export function createDeltaMaker(options: DeltaMakerOptions = {}): DeltaMaker {
  const { timeLimitMs = 300_000, idleMs = 5000, script = new URL('./delta-worker.ts', import.meta.url) } = options;
  let thread: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let stopping = false;
  /** Settled when all before are made. */
  let last: Promise<unknown> = Promise.resolve();

  function start(): Worker {
    const worker = new Worker(script, {
      name: 'deltas',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
      // Those of the process are not meant for it, and some are refused.
      execArgv: [],
    });
    worker.on('exit', () => {
      if (thread === worker) thread = undefined;
    });
    // Told to who waits for a delta; when nobody does, the exit says enough.
    worker.on('error', () => undefined);
    return worker;
  }

  /** It may be deep in zlib, which ends in its own time. */
  function end(): void {
    void thread?.terminate();
    thread = undefined;
  }

  async function ask(job: DeltaJob): Promise<DeltaOutcome> {
    if (stopping) throw new LeonoreError('server.stopping', 'this node is shutting down');
    clearTimeout(idle);
    thread ??= start();
    const worker = thread;
    const { promise, resolve, reject } = Promise.withResolvers<DeltaOutcome>();
    const exited = (code: number): void => reject(new Error(`the thread that makes deltas ended with code ${code}`));
    const limit = setTimeout(() => reject(new Error(`a delta took more than ${timeLimitMs} ms`)), timeLimitMs);
    worker.on('message', resolve).on('messageerror', reject).on('error', reject).on('exit', exited);
    // Only while somebody waits for it may it keep the process.
    worker.ref();
    try {
      worker.postMessage(job, [job.from.bytes.buffer, job.to.bytes.buffer]);
      const outcome = await promise;
      idle = setTimeout(end, idleMs).unref();
      return outcome;
    } catch (error) {
      // An error comes before the exit that it leads to; the next delta must not meet that thread.
      end();
      throw error;
    } finally {
      clearTimeout(limit);
      worker.off('message', resolve).off('messageerror', reject).off('error', reject).off('exit', exited);
      worker.unref();
    }
  }

  return {
    make(job) {
      const made = last.then(() => ask(job));
      last = made.catch(() => undefined);
      return made;
    },
    async [Symbol.asyncDispose]() {
      stopping = true;
      clearTimeout(idle);
      // Rejects what waits for it.
      end();
      await last;
    },
  };
}
