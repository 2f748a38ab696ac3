/**
 * Changes of what is installed: runs a task's plan as one transaction, ends what a former run has left open, and remembers
 * and reports how each came out. How a step is done says perform.ts, in which order plan.ts.
 */
import type { DdiFeedback, TaskStep } from '@leonore/protocol';
import type { AgentTask } from '../connectivity/mod.ts';
import type { AgentTrial } from './agent-trial.ts';
import type { Attempts } from './attempts.ts';
import type { FetchedPackage } from './fetch-package.ts';
import type { InstalledSet } from './installed.ts';
import type { Journal, OpenTransaction } from './journal.ts';
import { SEED } from './launcher.ts';
import { type PerformDeps, performStep } from './perform.ts';
import { handOverAt, type Plan, type Step, stepLabel } from './plan.ts';
import { installedComponents } from './state.ts';
import type { TaskEnds, TaskEndsDeps, TaskName } from './task-ends.ts';
import { recoveredOutcome, type StepName, type TaskRecord } from './task-record.ts';
import { backText, successReport } from './task-words.ts';
import {
  recoverTransaction,
  resumeTransaction,
  runTransaction,
  type TransactionDeps,
  type TransactionResult,
} from './transaction.ts';

export interface ChangesDeps extends TaskEndsDeps, PerformDeps {
  readonly journal: Journal;
  readonly trial: AgentTrial;
  /** What is installed has changed. */
  readonly onInstalled: () => void;
  /** This process is to end, and another agent to be tried. */
  readonly onHandOver: () => void;
}

export interface Change {
  readonly task: AgentTask;
  readonly plan: Plan;
  readonly fetched: FetchedPackage;
  readonly record: TaskRecord;
  readonly signal: AbortSignal;
}

export interface Changes {
  /** Fulfilled when the task has ended, or when it had to go back because of the signal. */
  run(change: Change): Promise<void>;
  /** Ends what a former run, or a disk that took no writes, has left open. */
  endOpen(): Promise<void>;
  /** For the agent on trial: what was handed over to it, if it was. */
  handedOver(to: string): Promise<HandedOver | undefined>;
}

export interface HandedOver {
  /** What is to run meanwhile. */
  readonly installed: InstalledSet;
  /** The server has heard this agent. @throws what keeps it from committing; the agent before it then goes back. */
  commit(): Promise<void>;
}

export function createChanges(deps: ChangesDeps, ends: TaskEnds, attempts: Attempts): Changes {
  const { container, folder, journal, logger, outbox, state } = deps;

  const transactionDeps = (
    task: TaskName | AgentTask,
    change: Partial<Omit<Change, 'task'>> = {},
    former: readonly TaskStep[] = [],
  ): TransactionDeps => ({
    journal,
    perform: (step, plan) => performStep(deps, step, plan, { staged: change.fetched?.staged, signal: change.signal }),
    announce: (label, index, step) => {
      logger.info(label, { action: task.actionId });
      change.record?.step(stepName(step, label));
      const progress = { count: index + 1, of: change.plan?.steps.length ?? index + 1 };
      void ends.tell(task.actionId, 'proceeding', [label], progress);
    },
    failed: (error, step) => change.record?.fail(error, step ? undefined : { kind: 'commit', label: 'commit' }),
    async remember({ actionId, sequence, plan, report }) {
      const floors = Object.fromEntries(Object.values(plan.after).map(({ name, version }) => [name, version]));
      const others = Object.entries(state.value.floors ?? {}).filter(([name]) => !plan.before[name]);
      const last = { actionId, sequence, report };
      try {
        await state.save({ installed: { ...plan.after }, last, floors: { ...Object.fromEntries(others), ...floors } });
      } finally {
        if (!outbox.holdsEndOf(actionId)) await outbox.add(actionId, report);
        await ends.tidy();
      }
    },
    async giveUp({ actionId, plan, why, faults }) {
      for (const fault of faults) logger.error('going back was not clean', { fault });
      // A state that was read anew from the disk may have found the other version.
      if (Object.values(plan.before).some((entry) => state.value.installed[entry.name]?.folder !== entry.folder)) {
        await ends.keep({ installed: { ...state.value.installed, ...plan.before } });
      }
      const { last } = state.value;
      if (why.length === 0 || (last?.actionId === actionId && last.report)) return;
      const facts = { ...attempts.facts(task), running: ends.installed(), back: faults };
      const outcome = change.record?.outcome({ ...facts, size: sizeOf(task) }) ?? recoveredOutcome(former, why, facts);
      await ends.end(task, 'closed', [...why, ...faults, backText(plan)], outcome);
    },
    success: (plan) => {
      const running = installedComponents(plan.after, container);
      const facts = { ...attempts.facts(task), running };
      const outcome = change.record?.outcome({ ...facts, size: sizeOf(task) }) ?? recoveredOutcome(former, [], facts);
      return successReport(plan, running, deps.now(), outcome, change.fetched);
    },
    now: deps.now,
  });

  /** What the launcher says of another agent that it has tried. */
  const whyNotTaken = async ({ plan, reached }: OpenTransaction): Promise<string[] | undefined> => {
    const step = plan.steps[handOverAt(plan)];
    const failure = step && reached >= handOverAt(plan) ? await deps.trial.failure() : undefined;
    return step && failure && [`could not ${stepLabel(step)}: ${failure.why}`, ...failure.log];
  };

  const conclude = (task: TaskName, result: TransactionResult): void => {
    if (result.outcome === 'handed-over') return deps.onHandOver();
    deps.onInstalled();
    if (result.outcome === 'rolled-back') return;
    logger.info('task done', { action: task.actionId, warnings: result.warnings });
  };

  return {
    async run(change) {
      const { task, plan, signal } = change;
      conclude(task, await runTransaction(transactionDeps(task, change), { ...task, plan }, signal));
    },
    async endOpen() {
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
      const rollback = open.rollback ?? (committed ? undefined : await whyNotTaken(open));
      if (!committed && !rollback && open.step !== undefined) await ends.keep(attempts.cutOffIn(open, open.step));
      const transaction = transactionDeps(open, {}, open.steps);
      conclude(open, await recoverTransaction(transaction, { ...open, rollback, committed }));
    },
    async handedOver(to) {
      const open = await journal.read();
      const step = open?.plan.steps[handOverAt(open.plan)];
      if (!open || open.rollback || step?.do !== 'hand-over' || (step.entry?.folder ?? SEED) !== to) return undefined;
      return {
        installed: open.plan.after,
        async commit() {
          conclude(open, await resumeTransaction(transactionDeps(open, {}, open.steps), open));
          await deps.trial.clear();
        },
      };
    },
  };
}

function isSuccess(report: DdiFeedback | null): report is DdiFeedback {
  return report?.status.result.finished === 'success';
}

function stepName(step: Step, label: string): StepName {
  const entry = 'entry' in step ? step.entry : undefined;
  const component = entry ? { component: { name: entry.name, version: entry.version } } : {};
  return { kind: step.do, label, ...component };
}

/** Of the whole package, bytes; unknown of a task that only the journal knows. */
function sizeOf(task: TaskName | AgentTask): number {
  return 'size' in task ? task.size : 0;
}
