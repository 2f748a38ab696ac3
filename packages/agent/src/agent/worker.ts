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
import {
  type DdiDeployment,
  type DdiFeedback,
  type InstalledComponent,
  isLeonoreError,
  type PackageManifest,
  type TaskOutcome,
  type TaskProgress,
  type TaskStep,
} from '@leonore/protocol';
import { type AgentTask, errorText, feedback, type Logger, parseTask, type TaskRules } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import {
  discardOtherDownloads,
  type FetchedPackage,
  type FetchPackageDeps,
  fetchPackage,
  Refusal,
} from './fetch-package.ts';
import { airText } from './air-text.ts';
import { createAttempts } from './attempts.ts';
import type { InstallPathRules } from './install-paths.ts';
import type { Journal } from './journal.ts';
import type { Outbox } from './outbox.ts';
import { packageFault } from './package-fault.ts';
import { discardDownloads } from './part-store.ts';
import { performStep } from './perform.ts';
import { type Plan, planChange, type Step } from './plan.ts';
import { putInOrder } from './put-in-order.ts';
import { type AgentState, installedComponents, type StateStore } from './state.ts';
import { createTaskRecord, recoveredOutcome, type StepName, type TaskRecord } from './task-record.ts';
import { backText, successReport } from './task-words.ts';
import { tellProgress } from './tell-progress.ts';
import type { TimeFloor } from './time-floor.ts';
import { recoverTransaction, runTransaction, type TransactionDeps, type TransactionResult } from './transaction.ts';

export interface WorkerDeps extends Omit<FetchPackageDeps, 'floors' | 'beforeUnpack' | 'refusal'> {
  readonly gatewayId: string;
  /** Whose tasks are taken, and from where. */
  readonly rules: TaskRules;
  readonly installPaths: InstallPathRules;
  readonly time: TimeFloor;
  /** Until a download that goes on is told of for the first time, ms; then ever more rarely. */
  readonly progressMs?: number | undefined;
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
  /** Ends what a former run has left open, and puts in order what is on the disk. Before anything is offered; never rejects. */
  recover(): Promise<void>;
  offer(deployment: DdiDeployment): Promise<void>;
  cancel(actionId: string): Promise<CancelAnswer>;
  /** Tells the server of what it works on; the task stays as it is. */
  note(text: string): void;
  /** The server no longer knows that task (or any, that was offered before `before`, by `performance.now`). */
  forget(which: { actionId: string } | { before: number }): void;
  /** The signal stops what is going on: a download where it is, an installation by going back. Fulfilled when at rest. */
  stop(): Promise<void>;
}

type TaskName = Pick<AgentTask, 'actionId' | 'sequence'>;
interface Current {
  readonly task: AgentTask;
  readonly since: number;
  phase: 'downloading' | 'installing';
  readonly record: TaskRecord;
  readonly aborting: AbortController;
  done: Promise<void>;
}

/** After this many in unpacking it is tried without deltas, which need memory. */
const ATTEMPTS_WITH_DELTAS = 2;

/** Why a download was stopped without a report. */
class Stopped extends Error {}

export function createWorker(deps: WorkerDeps): Worker {
  const { container, folder, journal, logger, outbox, state } = deps;
  const attempts = createAttempts(state);
  let current: Current | undefined;
  let next: DdiDeployment | undefined;
  let stopping = false;
  let canceled: string | undefined;

  const installed = (): InstalledComponent[] => installedComponents(state.value.installed, container);
  const tell = (actionId: string, ...[execution, details, progress]: Said): Promise<void> =>
    outbox.add(actionId, feedback(execution, 'none', { details, progress, timestamp: deps.now() }));

  /** The end of a task, on disk before it is told. */
  const end = async (
    task: TaskName,
    execution: 'closed' | 'rejected',
    details: readonly string[],
    outcome: TaskOutcome,
  ): Promise<void> => {
    const facts = { details, outcome, installed: installed(), timestamp: deps.now() };
    const report = feedback(execution, 'failure', facts);
    logger.warn(execution === 'closed' ? 'task failed' : 'task refused', { action: task.actionId, details });
    // Before the task counts as ended: nothing would make a later run of the agent do it.
    await tidy(execution === 'closed' ? task : undefined);
    await keep({ last: { actionId: task.actionId, sequence: task.sequence, report } });
    await outbox.add(task.actionId, report);
  };
  /** What cannot be written is known until the agent ends, and told: no fault of the disk keeps the server waiting. */
  const keep = async (change: Partial<AgentState>): Promise<void> => {
    try {
      // The disk may be full of what nobody needs any more.
      await state.save(change).catch(async () => {
        await tidy();
        await state.save(change);
      });
    } catch (error) {
      logger.error('state.json cannot be written', { error: errorText(error) });
    }
  };
  /** Of a task that came to nothing what was downloaded stays, for the next try: until another one has ended. */
  const tidy = async (task?: TaskName | AgentTask): Promise<void> => {
    try {
      await discardDownloads(folder.staging);
      if (task && 'headerSha256' in task) await discardOtherDownloads(folder, task);
      else await discardDownloads(folder.downloads);
    } catch (error) {
      logger.warn('downloads cannot be deleted', { error: errorText(error) });
    }
  };

  const transactionDeps = (
    task: TaskName | AgentTask,
    options: {
      staged?: string;
      signal?: AbortSignal;
      fetched?: FetchedPackage;
      record?: TaskRecord;
      steps?: number;
    } = {},
    former: readonly TaskStep[] = [],
  ): TransactionDeps => ({
    journal,
    perform: (step, plan) => performStep(deps, step, plan, options),
    announce: (label, index, step) => {
      logger.info(label, { action: task.actionId });
      options.record?.step(stepName(step, label));
      void tell(task.actionId, 'proceeding', [label], { count: index + 1, of: options.steps ?? index + 1 });
    },
    failed: (error, step) => options.record?.fail(error, step ? undefined : { kind: 'commit', label: 'commit' }),
    async remember({ actionId, sequence, plan, report }) {
      const floors = Object.fromEntries(Object.values(plan.after).map(({ name, version }) => [name, version]));
      const others = Object.entries(state.value.floors ?? {}).filter(([name]) => !plan.before[name]);
      const last = { actionId, sequence, report };
      try {
        await state.save({ installed: { ...plan.after }, last, floors: { ...Object.fromEntries(others), ...floors } });
      } finally {
        if (!outbox.holdsEndOf(actionId)) await outbox.add(actionId, report);
        await tidy();
      }
    },
    async giveUp({ actionId, plan, why, faults }) {
      for (const fault of faults) logger.error('going back was not clean', { fault });
      // A state that was read anew from the disk may have found the other version.
      if (Object.values(plan.before).some((entry) => state.value.installed[entry.name]?.folder !== entry.folder)) {
        await keep({ installed: { ...state.value.installed, ...plan.before } });
      }
      const { last } = state.value;
      if (why.length === 0 || (last?.actionId === actionId && last.report)) return;
      const facts = { ...attempts.facts(task), running: installed(), back: faults };
      const outcome = options.record?.outcome({ ...facts, size: sizeOf(task) }) ?? recoveredOutcome(former, why, facts);
      await end(task, 'closed', [...why, ...faults, backText(plan)], outcome);
    },
    success: (plan) => {
      const running = installedComponents(plan.after, container);
      const outcome = options.record?.outcome({ ...attempts.facts(task), running, size: sizeOf(task) });
      return successReport(plan, running, deps.now(), outcome, options.fetched);
    },
    now: deps.now,
  });

  const concludes = async (task: TaskName, result: TransactionResult): Promise<void> => {
    deps.onInstalled();
    if (result.outcome === 'rolled-back') return;
    logger.info('task done', { action: task.actionId, warnings: result.warnings });
  };

  const refusal = async (manifest: PackageManifest, plan: Plan): Promise<string | undefined> => {
    for (const { name, run } of manifest.components) {
      const refused = await container.refusal(run);
      if (refused !== undefined) return `${name} cannot run here: ${refused}`;
    }
    return packageFault(manifest, plan, deps.installPaths);
  };
  const fetch = (task: AgentTask, record: TaskRecord, signal: AbortSignal): Promise<FetchedPackage> => {
    const withDeltas = attempts.of(task, 'unpacking') < ATTEMPTS_WITH_DELTAS;
    let counted: Promise<void> | undefined;
    return fetchPackage(
      {
        ...deps,
        floors: () => state.value.floors ?? {},
        refusal,
        beforeUnpack() {
          record.step(UNPACK);
          return (counted ??= attempts.count(task, 'unpacking'));
        },
      },
      withDeltas ? task : { ...task, deltas: [] },
      signal,
      record.air,
    );
  };

  /** Ends what a former run, or a disk that took no writes, has left open. */
  const endOpen = async (): Promise<void> => {
    const open = await journal.read();
    if (!open) return;
    for (const step of open.plan.steps) {
      if (step.do === 'install') await container.sweep(folder.data(step.entry.name));
    }
    const { last } = state.value;
    // What was remembered was committed, whatever is left of the journal.
    const remembered = last?.actionId === open.actionId && isSuccess(last.report) ? last.report : undefined;
    const committed = open.rollback ? undefined : (open.committed ?? remembered);
    logger.warn(committed ? 'finishing what was committed' : 'going back: the agent was stopped in the middle', {
      action: open.actionId,
      step: open.step,
    });
    if (!committed && !open.rollback && open.step !== undefined) await keep(attempts.cutOffIn(open, open.step));
    const transaction = transactionDeps(open, {}, open.steps);
    await concludes(open, await recoverTransaction(transaction, { ...open, committed }));
  };

  const install = async (current: Current, fetched: FetchedPackage): Promise<void> => {
    const { task, record } = current;
    const { signal } = current.aborting;
    const late = deps.time.expired(task.expires, 'last');
    if (late !== undefined) throw new Refusal(late);
    if (await journal.read()) {
      throw new Error('the transaction before this one cannot be ended; see the log of the agent');
    }
    const guard = { floors: state.value.floors ?? {}, meant: task.downgrade ?? [] };
    const planned = planChange(state.value.installed, fetched.manifest, task.sequence, guard);
    if (planned.outcome === 'refused') throw new Refusal(planned.why);
    const { plan } = planned;
    const refused = await refusal(fetched.manifest, plan);
    if (refused !== undefined) throw new Refusal(refused);
    await attempts.count(task, 'installing');
    const transaction = transactionDeps(task, {
      staged: fetched.staged,
      signal,
      fetched,
      record,
      steps: plan.steps.length,
    });
    await concludes(task, await runTransaction(transaction, { ...task, plan }, signal));
  };

  const work = async (current: Current): Promise<void> => {
    const { task, record } = current;
    const { signal } = current.aborting;
    try {
      record.step({ kind: 'accept', label: 'accept the task' });
      const late = deps.time.expired(task.expires);
      if (late !== undefined) throw new Refusal(late);
      logger.info('task begins', { action: task.actionId, package: task.packageId, bytes: task.size });
      await tell(task.actionId, 'download');
      // Before anything of this task is on the disk: what is done here deletes what lies in downloads and staging.
      await endOpen();
      await putInOrder(deps, state.value.installed, !state.rebuilt);
      record.step({ kind: 'download', label: 'download the package' });
      const over = new AbortController();
      void tellProgress(
        {
          air: record.air,
          size: task.size,
          tell: (words, progress) => tell(task.actionId, 'download', [words], progress),
          firstMs: deps.progressMs,
        },
        AbortSignal.any([signal, over.signal]),
      );
      const fetched = await fetch(task, record, signal).finally(() => over.abort());
      signal.throwIfAborted();
      current.phase = 'installing';
      record.step({ kind: 'plan', label: 'plan the change' });
      logger.info('package is here', { action: task.actionId, bytes: fetched.bytes, of: task.size });
      await tell(task.actionId, 'downloaded', [airText(fetched.bytes, task.size)]);
      await install(current, fetched);
    } catch (error) {
      if (signal.aborted) {
        logger.info('task stopped', { action: task.actionId, why: errorText(signal.reason) });
        // It was asked to; that is no attempt that came to no end.
        if (state.value.attempts?.sequence === task.sequence) await keep({ attempts: undefined });
        return;
      }
      record.fail(error, nameInTheLightOf(error));
      const outcome = record.outcome({ ...attempts.facts(task), running: installed(), size: task.size });
      if (error instanceof Refusal) await end(task, 'rejected', [error.message], outcome);
      else await end(task, 'closed', [errorText(error)], outcome);
    }
  };
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
        await endOpen();
      } catch (error) {
        logger.error('what a former run has left open cannot be ended', { error: errorText(error) });
      }
      if (!(await journal.read())) {
        await discardDownloads(folder.staging).catch(() => undefined);
        await rm(folder.journal, { force: true }).catch(() => undefined);
        await putInOrder(deps, state.value.installed, !state.rebuilt);
      }
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
        await tidy(task);
        await keep({ last: { actionId, sequence: task.sequence, report: null } });
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
      void tell(current.task.actionId, 'scheduled', [text]);
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

function isSuccess(report: DdiFeedback | null): report is DdiFeedback {
  return report?.status.result.finished === 'success';
}

type Said = [execution: DdiFeedback['status']['execution'], details?: readonly string[], progress?: TaskProgress];

const UNPACK: StepName = { kind: 'unpack', label: 'unpack the package' };

function stepName(step: Step, label: string): StepName {
  const entry = 'entry' in step ? step.entry : undefined;
  const component = entry ? { component: { name: entry.name, version: entry.version } } : {};
  return { kind: step.do, label, ...component };
}

/** Only when something failed it turns out what was going on. */
function nameInTheLightOf(error: unknown): StepName | undefined {
  if (error instanceof Refusal) return { kind: 'accept', label: 'accept the task' };
  const isUnsound = isLeonoreError(error) && error.code.startsWith('archive.');
  return isUnsound ? { kind: 'verify', label: 'verify the package' } : undefined;
}

/** Of the whole package, bytes; unknown of a task that only the journal knows. */
function sizeOf(task: TaskName | AgentTask): number {
  return 'size' in task ? task.size : 0;
}
