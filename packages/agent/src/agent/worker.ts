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
 */
import { rm } from 'node:fs/promises';
import type { DdiDeployment, DdiFeedback, InstalledComponent } from '@leonore/protocol';
import { type AgentTask, errorText, feedback, type Logger, parseTask } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import { type FetchPackageDeps, fetchPackage, Refusal } from './fetch-package.ts';
import type { InstalledEntry } from './installed.ts';
import type { Journal } from './journal.ts';
import type { Outbox } from './outbox.ts';
import { discardDownloads } from './package-file.ts';
import { performStep } from './perform.ts';
import { type Plan, planChange } from './plan.ts';
import { installedComponents, type StateStore } from './state.ts';
import { recoverTransaction, runTransaction, type TransactionDeps, type TransactionResult } from './transaction.ts';

export interface WorkerDeps extends FetchPackageDeps {
  readonly gatewayId: string;
  readonly state: StateStore;
  readonly container: Container;
  readonly journal: Journal;
  readonly outbox: Pick<Outbox, 'add' | 'holdsEndOf'>;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** What is installed has changed. */
  readonly onInstalled: () => void;
}

export type CancelAnswer = { readonly outcome: 'canceled' } | { readonly outcome: 'too-late'; readonly why: string };

export interface Worker {
  /** Ends what a former run has left open. Before anything is offered. */
  recover(): Promise<void>;
  offer(deployment: DdiDeployment): Promise<void>;
  cancel(actionId: string): Promise<CancelAnswer>;
  /** The server no longer knows that task (or any, that was offered before `before`, ms since 1970). */
  forget(which: { actionId: string } | { before: number }): void;
  /** The signal stops what is going on: a download where it is, an installation by going back. Fulfilled when at rest. */
  stop(): Promise<void>;
}

type TaskName = Pick<AgentTask, 'actionId' | 'sequence'>;
interface Current {
  readonly task: AgentTask;
  readonly since: number;
  phase: 'downloading' | 'installing';
  readonly aborting: AbortController;
  done: Promise<void>;
}

/** After this many beginnings that came to no end, the task is given up. */
const MAX_ATTEMPTS = 5;

/** Why a download was stopped without a report. */
class Stopped extends Error {}

export function createWorker(deps: WorkerDeps): Worker {
  const { container, folder, journal, logger, outbox, state } = deps;
  let current: Current | undefined;
  let next: DdiDeployment | undefined;
  let stopping = false;
  let canceled: string | undefined;

  const installed = (): InstalledComponent[] => installedComponents(state.value.installed, container);
  const tell = (actionId: string, ...[execution, finished, details]: Said): Promise<void> =>
    outbox.add(actionId, feedback(execution, finished, { details, timestamp: deps.now() }));

  /** The end of a task, on disk before it is told. */
  const end = async (task: TaskName, execution: 'closed' | 'rejected', details: readonly string[]): Promise<void> => {
    const report = feedback(execution, 'failure', { details, installed: installed(), timestamp: deps.now() });
    logger.warn(execution === 'closed' ? 'task failed' : 'task refused', { action: task.actionId, details });
    await state.save({ last: { actionId: task.actionId, sequence: task.sequence, report } });
    await outbox.add(task.actionId, report);
    await tidy();
  };
  const tidy = async (): Promise<void> => {
    await discardDownloads(folder.downloads);
    await discardDownloads(folder.staging);
  };

  const transactionDeps = (
    task: { actionId: string },
    options: { staged?: string; signal?: AbortSignal } = {},
  ): TransactionDeps => ({
    journal,
    perform: (step, plan) => performStep(deps, step, plan, options),
    announce: (label) => {
      logger.info(label, { action: task.actionId });
      void tell(task.actionId, 'proceeding', 'none', [label]);
    },
    async remember({ actionId, sequence, plan, report }) {
      await state.save({ installed: { ...plan.after }, last: { actionId, sequence, report } });
      if (!outbox.holdsEndOf(actionId)) await outbox.add(actionId, report);
    },
    success: (plan) => successReport(plan, container, deps.now()),
    now: deps.now,
  });

  const concludes = async (task: TaskName, plan: Plan, result: TransactionResult): Promise<void> => {
    deps.onInstalled();
    if (result.outcome === 'committed') {
      logger.info('task done', { action: task.actionId, warnings: result.warnings });
      await tidy();
      return;
    }
    for (const fault of result.faults) logger.error('going back was not clean', { fault });
    if (result.why.length === 0) return;
    await end(task, 'closed', [...result.why, ...result.faults, backText(plan)]);
  };

  const install = async (current: Current, staged: string, plan: Plan): Promise<void> => {
    const { task } = current;
    const { attempts } = state.value;
    const count = attempts?.sequence === task.sequence ? attempts.count : 0;
    if (count >= MAX_ATTEMPTS) {
      return end(task, 'closed', [
        `installing was begun ${count} times and the agent was stopped in the middle each time; given up`,
      ]);
    }
    await state.save({ attempts: { sequence: task.sequence, count: count + 1 } });
    const { signal } = current.aborting;
    const deps = transactionDeps(task, { staged, signal });
    await concludes(task, plan, await runTransaction(deps, { ...task, plan }, signal));
  };

  const work = async (current: Current): Promise<void> => {
    const { task } = current;
    const { signal } = current.aborting;
    try {
      if (deps.now() > task.expires) throw new Refusal(`it has expired at ${new Date(task.expires).toISOString()}`);
      logger.info('task begins', { action: task.actionId, package: task.packageId, bytes: task.size });
      await tell(task.actionId, 'download', 'none');
      const { manifest, staged } = await fetchPackage(deps, task, signal);
      signal.throwIfAborted();
      current.phase = 'installing';
      await tell(task.actionId, 'downloaded', 'none');
      const planned = planChange(state.value.installed, manifest, task.sequence);
      if (planned.outcome === 'refused') throw new Refusal(planned.why);
      await install(current, staged, planned.plan);
    } catch (error) {
      if (signal.aborted) {
        logger.info('task stopped', { action: task.actionId, why: errorText(signal.reason) });
      } else if (error instanceof Refusal) {
        await end(task, 'rejected', [error.message]);
      } else {
        await end(task, 'closed', [errorText(error)]);
      }
    }
  };

  const begin = (task: AgentTask): void => {
    const started: Current = {
      task,
      since: deps.now(),
      phase: 'downloading',
      aborting: new AbortController(),
      done: Promise.resolve(),
    };
    current = started;
    started.done = carryOut(started);
  };
  const carryOut = async (started: Current): Promise<void> => {
    await work(started).catch((error: unknown) =>
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
      feedback('rejected', 'failure', { details: [why], installed: installed(), timestamp: deps.now() }),
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
      task = parseTask(deployment);
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
      for (const name of Object.keys(state.value.installed)) await container.sweep(folder.data(name));
      const open = await journal.read();
      if (!open) {
        await discardDownloads(folder.staging);
        await rm(folder.journal, { force: true });
        return;
      }
      for (const step of open.plan.steps)
        if (step.do === 'install') await container.sweep(folder.data(step.entry.name));
      logger.warn(open.committed ? 'finishing what was committed' : 'going back: the agent was stopped in the middle', {
        action: open.actionId,
        step: open.step,
      });
      await concludes(open, open.plan, await recoverTransaction(transactionDeps(open), open));
    },
    offer,
    async cancel(actionId) {
      const { last } = state.value;
      if (current?.task.actionId === actionId) {
        if (current.phase === 'installing') return { outcome: 'too-late', why: 'the installation has begun already' };
        const { task, aborting, done } = current;
        canceled = actionId;
        aborting.abort(new Stopped('canceled by the operator'));
        await done;
        await state.save({ last: { actionId, sequence: task.sequence, report: null } });
        await tidy();
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
    forget(which) {
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

type Said = [
  execution: DdiFeedback['status']['execution'],
  finished: DdiFeedback['status']['result']['finished'],
  details?: readonly string[],
];

function successReport(plan: Plan, container: Container, timestamp: number): DdiFeedback {
  const came = Object.values(plan.after).filter((entry) => plan.before[entry.name]?.folder !== entry.folder);
  const went = Object.values(plan.before).filter((entry) => !plan.after[entry.name]);
  const details = [
    ...came.map((entry) =>
      entry.previousVersion === undefined
        ? `${label(entry)} installed`
        : `${entry.name} updated from ${entry.previousVersion} to ${entry.version}`,
    ),
    ...went.map((entry) => `${label(entry)} removed`),
  ];
  return feedback('closed', 'success', {
    details: details.length > 0 ? details : ['everything was there already'],
    installed: installedComponents(plan.after, container),
    timestamp,
  });
}

function backText(plan: Plan): string {
  const back = plan.steps.flatMap((step) => (step.do === 'place' ? (plan.before[step.entry.name] ?? []) : []));
  return back.length > 0 ? `rolled back to ${back.map(label).join(', ')}` : 'rolled back: nothing of it is left';
}

function label(entry: InstalledEntry): string {
  return `${entry.name} ${entry.version}`;
}
