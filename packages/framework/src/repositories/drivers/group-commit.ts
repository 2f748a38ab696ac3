/**
 * Writes that wait at the same time share one commit, and so one fsync. Each runs in a savepoint of its own: one that
 * throws is undone and rejects alone; a promise is fulfilled only after the commit it shared. One batch is bounded in
 * number and time, so that timers and sockets get their turn.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { LeonoreError } from '@leonore/protocol';
import { explainSqlite } from './sqlite-connection.ts';

export interface GroupCommit extends AsyncDisposable {
  write<T>(work: () => Promise<T>): Promise<T>;
}

const MAX_PAUSE_MS = 10;

interface Waiting {
  readonly work: () => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

export function createGroupCommit(database: DatabaseSync, options: { maxWorks: number; maxMs: number }): GroupCommit {
  const queue: Waiting[] = [];
  let flushing: Promise<void> | undefined;
  let closed = false;

  async function flush(): Promise<void> {
    while (queue.length > 0) {
      // Whatever else this turn of the event loop brings still joins the batch.
      await nextTurn();
      const begun = performance.now();
      const works = await commitBatch();
      // A pause as long as the commit took lets writes gather: under load at most half of the time goes to the disk. Who
      // writes alone would only be held up.
      if (works > 1) await pause(Math.min(performance.now() - begun, MAX_PAUSE_MS));
    }
    flushing = undefined;
  }

  /** Number of works that it tried. */
  async function commitBatch(): Promise<number> {
    const succeeded: { waiting: Waiting; value: unknown }[] = [];
    const until = performance.now() + options.maxMs;
    let next: Waiting | undefined;
    let begun = false;
    let works = 0;
    try {
      database.exec('begin immediate');
      begun = true;
      while (works < options.maxWorks && (works === 0 || performance.now() < until)) {
        next = queue.shift();
        if (!next) break;
        works++;
        const outcome = await runAlone(next.work);
        // A full disk or a read error ends the whole transaction, whatever savepoint it happened in.
        if (!database.isTransaction) throw outcome.ok ? new Error('the transaction ended by itself') : outcome.error;
        if (outcome.ok) succeeded.push({ waiting: next, value: outcome.value });
        else next.reject(outcome.error);
        next = undefined;
      }
      database.exec('commit');
    } catch (error) {
      rollBack();
      const reason = explainSqlite(error);
      for (const { waiting } of succeeded) waiting.reject(reason);
      next?.reject(reason);
      // Nobody in the queue can be served: they are told rather than kept waiting.
      if (!begun) for (const waiting of queue.splice(0, options.maxWorks)) waiting.reject(reason);
      return works;
    }
    for (const { waiting, value } of succeeded) waiting.resolve(value);
    return works;
  }

  function rollBack(): void {
    try {
      if (database.isTransaction) database.exec('rollback');
    } catch {
      // The next batch cannot begin then, and says so.
    }
  }

  async function runAlone(
    work: () => Promise<unknown>,
  ): Promise<{ ok: true; value: unknown } | { ok: false; error: unknown }> {
    try {
      database.exec('savepoint work');
      const value = await work();
      database.exec('release work');
      return { ok: true, value };
    } catch (error) {
      if (database.isTransaction) database.exec('rollback to work; release work');
      return { ok: false, error };
    }
  }

  return {
    async write<T>(work: () => Promise<T>): Promise<T> {
      if (closed) throw new LeonoreError('server.stopping', 'the database is closed; this node is shutting down');
      return new Promise<T>((resolve, reject) => {
        queue.push({ work: AsyncLocalStorage.bind(work), resolve: resolve as (value: unknown) => void, reject });
        flushing ??= flush();
      });
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await flushing;
    },
  };
}
