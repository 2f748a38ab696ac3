/**
 * A solver in a thread of its own, so that neither the search nor what its memory costs to clean up holds up the event
 * loop. The thread keeps a copy of each tenant's catalogue, which is brought up to date by what changed only. It answers
 * one question after the other and is started by the first. When it dies, the question it was at is answered with an
 * error that may be tried again, and the next one starts another thread.
 */
import { LeonoreError, type Artifact } from '@leonore/protocol';
import { Worker } from 'node:worker_threads';
import type { Catalogue } from './catalogue.ts';
import type { ResolveRequest } from './request.ts';
import type { Solved, Solver } from './solver.ts';
import { createPacer, type Pacer, type Work } from './work.ts';

/** What the thread is told, in order. */
export type ToSolver =
  /** Builds by these names change: those known are of no use any more. */
  | { readonly kind: 'forget'; readonly tenant: string; readonly names: readonly string[] }
  | { readonly kind: 'add'; readonly tenant: string; readonly builds: readonly Artifact[] }
  /** Is answered with `Solved`. */
  | {
      readonly kind: 'solve';
      readonly tenant: string;
      readonly request: ResolveRequest;
      readonly stepLimit: number | undefined;
    };

export interface SolverThreadOptions {
  /** Past it the thread ends, and with it the question. */
  readonly maxMemoryMib?: number;
  readonly stepLimit?: number;
  readonly pacer?: Pacer;
}

export interface SolverThread extends Solver, AsyncDisposable {}

/** Everything is copied. */
export const NOTHING_MOVED: readonly never[] = [];
/** The copying of this many builds takes about a millisecond. */
const BUILDS_PER_MESSAGE = 50;
const STEPS_PER_BUILD = 200;

export function createSolverThread(options: SolverThreadOptions = {}): SolverThread {
  const { maxMemoryMib = 512, stepLimit, pacer = createPacer() } = options;
  let thread: Thread | undefined;
  let stopping = false;
  /** Settled when all questions before are. */
  let last: Promise<unknown> = Promise.resolve();

  async function ask(tenant: string, request: ResolveRequest, catalogue: Catalogue): Promise<Solved> {
    if (stopping) throw stopped();
    thread ??= startThread(maxMemoryMib);
    const asked = thread;
    try {
      await pacer.run(bringing(asked, tenant, catalogue));
      return await asked.answer({ kind: 'solve', tenant, request, stepLimit });
    } catch (error) {
      // How much of the catalogue it got is not known, so it is of no use even where it still runs.
      thread = undefined;
      await asked.end();
      throw stopping ? stopped() : failed(error);
    }
  }

  return {
    solve(tenant, request, catalogue) {
      const answer = last.then(() => ask(tenant, request, catalogue));
      last = answer.catch(() => undefined);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      stopping = true;
      await thread?.end();
      await last;
    },
  };
}

function stopped(): LeonoreError {
  return new LeonoreError('server.stopping', 'this node is shutting down; another one, or this one later, can tell');
}

function failed(cause: unknown): LeonoreError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `the search for an answer broke off (${why}); try again, and with narrower ranges if it happens again`;
  return new LeonoreError('server.internal', text, { cause });
}

interface Thread {
  /** The catalogue that it has of each tenant. */
  readonly has: Map<string, Catalogue>;
  tell(message: ToSolver): void;
  /** Rejects when the thread ends before it answers. One question at a time. */
  answer(question: ToSolver): Promise<Solved>;
  end(): Promise<void>;
}

function startThread(maxMemoryMib: number): Thread {
  const worker = new Worker(new URL('./solver-worker.ts', import.meta.url), {
    name: 'solver',
    resourceLimits: { maxOldGenerationSizeMb: maxMemoryMib },
    // Those of the process are not meant for it, and some are refused.
    execArgv: [],
  });
  worker.unref();
  let failure: Error | undefined;
  let waiting: PromiseWithResolvers<Solved> | undefined;

  function fail(error: Error): void {
    failure ??= error;
    waiting?.reject(failure);
  }
  worker.on('message', (solved: Solved) => waiting?.resolve(solved));
  worker.on('messageerror', fail);
  worker.on('error', fail);
  worker.on('exit', (code) => fail(new Error(`its thread ended with code ${code}`)));

  return {
    has: new Map(),
    tell: (message) => worker.postMessage(message, NOTHING_MOVED),
    async answer(question) {
      if (failure) throw failure;
      waiting = Promise.withResolvers();
      // Only while somebody waits for it may it keep the process.
      worker.ref();
      try {
        worker.postMessage(question, NOTHING_MOVED);
        return await waiting.promise;
      } finally {
        worker.unref();
        waiting = undefined;
      }
    },
    async end() {
      await worker.terminate();
    },
  };
}

/** Sends the lists that are not the same as those the thread has, in pieces: copying them all at once would take long. */
function* bringing({ has, tell }: Thread, tenant: string, catalogue: Catalogue): Work<void> {
  const before = has.get(tenant);
  if (before === catalogue) return;
  const changed = [...new Set([...(before?.names ?? []), ...catalogue.names])].filter(
    (name) => before?.versions(name) !== catalogue.versions(name),
  );
  yield catalogue.names.length;
  tell({ kind: 'forget', tenant, names: changed });
  let builds: Artifact[] = [];
  for (const name of changed) {
    for (const version of catalogue.versions(name)) {
      builds.push(...version.builds);
      if (builds.length < BUILDS_PER_MESSAGE) continue;
      tell({ kind: 'add', tenant, builds });
      yield builds.length * STEPS_PER_BUILD;
      builds = [];
    }
  }
  tell({ kind: 'add', tenant, builds });
  has.set(tenant, catalogue);
}
