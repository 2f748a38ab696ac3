/**
 * The worker: one task at a time, from its offer to the report of its end. Offers come by poll and by push, twice, late
 * and out of order; their sequence decides:
 *
 *   higher than the last that ended   work on it (it takes the place of one that still downloads; waits behind one that installs)
 *   the last that ended               report its result again
 *   lower                             refused
 *
 *   idle ──offer──> downloading ──verified──> installing ──> idle (state and report on disk)
 *                       └── cancel, gone, newer task, stop ──> idle
 *
 * While downloading nothing was touched, so it can be canceled; from `installing` on it is finished one way or the other.
 * Here is decided which offer is taken next; what is done about it says carry-out.ts, how a change ends changes.ts.
 */
import { rm } from 'node:fs/promises';
import type { DdiDeployment } from '@leonore/protocol';
import { type AgentTask, errorText, feedback, parseTask, type TaskRules } from '../connectivity/mod.ts';
import { createAttempts } from './attempts.ts';
import { type CarryOutDeps, createCarryOut, type Work } from './carry-out.ts';
import { type Changes, createChanges } from './changes.ts';
import { discardDownloads } from './part-store.ts';
import { putInOrder } from './put-in-order.ts';
import { createTaskEnds } from './task-ends.ts';
import { createTaskRecord } from './task-record.ts';

export interface WorkerDeps extends CarryOutDeps {
  /** Whose tasks are taken, and from where. */
  readonly rules: TaskRules;
}

export type CancelAnswer = { readonly outcome: 'canceled' } | { readonly outcome: 'too-late'; readonly why: string };

export interface Worker {
  /** Ends what a former run has left open, and puts in order what is on the disk. Before anything is offered; never rejects. */
  recover(): Promise<void>;
  /** In place of `recover`, for the agent that is on trial: see changes.ts. */
  handedOver: Changes['handedOver'];
  offer(deployment: DdiDeployment): Promise<void>;
  cancel(actionId: string): Promise<CancelAnswer>;
  /** Tells the server of what it works on; the task stays as it is. */
  note(text: string): void;
  /** The server no longer knows that task (or any, that was offered before `before`, by `performance.now`). */
  forget(which: { actionId: string } | { before: number }): void;
  /** The signal stops what is going on: a download where it is, an installation by going back. Fulfilled when at rest. */
  stop(): Promise<void>;
}

interface Current extends Work {
  readonly since: number;
  done: Promise<void>;
}

/** Why a download was stopped without a report. */
class Stopped extends Error {}

export function createWorker(deps: WorkerDeps): Worker {
  const { container, folder, journal, logger, outbox, state } = deps;
  const attempts = createAttempts(state);
  const ends = createTaskEnds(deps);
  const onHandOver = (): void => {
    stopping = true;
    deps.onHandOver();
  };
  const changes = createChanges({ ...deps, onHandOver }, ends, attempts);
  const carryOut = createCarryOut(deps, { ends, changes, attempts });
  let current: Current | undefined;
  let next: DdiDeployment | undefined;
  let stopping = false;
  let canceled: string | undefined;

  const begin = (task: AgentTask): void => {
    const started: Current = {
      task,
      since: performance.now(),
      phase: 'downloading',
      record: createTaskRecord(),
      aborting: new AbortController(),
      done: Promise.resolve(),
    };
    current = started;
    started.done = workOn(started);
  };
  const workOn = async (started: Current): Promise<void> => {
    await carryOut(started).catch((error: unknown) =>
      logger.error('a task came to no end', { action: started.task.actionId, error: errorText(error) }),
    );
    current = undefined;
    const waiting = next;
    next = undefined;
    if (waiting && !stopping) await offer(waiting);
  };

  const refuse = async (actionId: string, why: string): Promise<void> => {
    if (outbox.holdsEndOf(actionId)) return;
    logger.warn('task refused', { action: actionId, why });
    await outbox.add(
      actionId,
      feedback('rejected', 'failure', { details: [why], installed: ends.installed(), timestamp: deps.now() }),
    );
  };
  const offer = async (deployment: DdiDeployment): Promise<void> => {
    const { id } = deployment;
    const { last } = state.value;
    if (stopping || current?.task.actionId === id || canceled === id) return;
    if (deployment.deployment.download === 'skip' || deployment.deployment.update === 'skip') {
      return logger.info('the server says not now', { action: id });
    }
    if (last?.actionId === id) {
      if (last.report && !outbox.holdsEndOf(id)) await outbox.add(id, last.report);
      return;
    }
    let task: AgentTask;
    try {
      task = parseTask(deployment, deps.rules);
    } catch (error) {
      return refuse(id, errorText(error));
    }
    const newest = Math.max(last?.sequence ?? 0, current?.task.sequence ?? 0);
    if (task.sequence <= newest) {
      return refuse(id, `it is older than what was done here (sequence ${task.sequence}, ${newest} is known already)`);
    }
    if (!current) return begin(task);
    next = deployment;
    if (current.phase === 'downloading') current.aborting.abort(new Stopped('a newer task takes its place'));
  };

  return {
    async recover() {
      try {
        for (const name of Object.keys(state.value.installed)) await container.sweep(folder.data(name));
        await changes.endOpen();
      } catch (error) {
        logger.error('what a former run has left open cannot be ended', { error: errorText(error) });
      }
      if (!(await journal.read())) {
        await discardDownloads(folder.staging).catch(() => undefined);
        await rm(folder.journal, { force: true }).catch(() => undefined);
        await deps.trial.clear().catch(() => undefined);
        await putInOrder(deps, state.value.installed, !state.rebuilt);
      }
    },
    handedOver: changes.handedOver,
    offer,
    async cancel(actionId) {
      const { last } = state.value;
      if (current?.task.actionId === actionId) {
        if (current.phase === 'installing') return { outcome: 'too-late', why: 'the installation has begun already' };
        const { task, aborting, done } = current;
        canceled = actionId;
        aborting.abort(new Stopped('canceled by the operator'));
        await done;
        await ends.tidy(task);
        await ends.keep({ last: { actionId, sequence: task.sequence, report: null } });
        return { outcome: 'canceled' };
      }
      if (last?.actionId === actionId && last.report) {
        if (!outbox.holdsEndOf(actionId)) await outbox.add(actionId, last.report);
        return { outcome: 'too-late', why: 'it has ended already' };
      }
      canceled = actionId;
      if (next?.id === actionId) next = undefined;
      return { outcome: 'canceled' };
    },
    note(text) {
      if (!current) return;
      logger.info(text, { action: current.task.actionId });
      void ends.tell(current.task.actionId, 'scheduled', [text]);
    },
    forget(which) {
      // Each question for work that finds none comes by here.
      void deps.time
        .keep()
        .catch((error: unknown) => logger.warn('the time cannot be kept', { error: errorText(error) }));
      if (current?.phase !== 'downloading') return;
      const meant = 'before' in which ? current.since < which.before : current.task.actionId === which.actionId;
      if (meant) current.aborting.abort(new Stopped('the server has ended it'));
    },
    async stop() {
      stopping = true;
      const going = current;
      going?.aborting.abort(new Stopped('the agent stops'));
      await going?.done;
    },
  };
}
