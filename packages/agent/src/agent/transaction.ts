/**
 * The executor: takes a plan to its end, or back to its beginning. It decides nothing about what to do (plan.ts) and
 * knows nothing of how a step is done (`perform`); it keeps the one promise of an update:
 *
 *   I. Before the commit point any fault brings everything back to `before`; after it nothing is taken back.
 *   II. Each line of the journal is on the disk before what it announces happens, so a restart at any point knows
 *       which side of the commit point it stands on and does what `run` would have done.
 *   III. The commit point is the journal's `committed` line; it carries the report of success, so that the result of
 *       the task is as durable as the change itself. A failure's `rollback` line carries its reasons.
 *   IV. The journal is removed when there is nothing left to do and the result is remembered. What could not be done, on a
 *       disk that takes no writes say, is done by the next run, or before the next transaction; after MAX_RECOVERIES
 *       runs that came to no end without the steps that others have a hand in (scripts and processes).
 */
import type { DdiFeedback } from '@leonore/protocol';
import { errorText } from '../connectivity/mod.ts';
import type { Journal, OpenTransaction } from './journal.ts';
import { handOverAt, type Plan, planRollback, type Step, stepLabel, withoutPrograms } from './plan.ts';
import { outputOf } from './task-record.ts';

export type TransactionResult =
  | { readonly outcome: 'committed'; readonly report: DdiFeedback; readonly warnings: readonly string[] }
  /**
   * `why`: the failing step and what it said, line by line; empty when nothing failed but the agent had to stop, so that
   * the task may be tried again. `faults`: what went wrong on the way back.
   */
  | { readonly outcome: 'rolled-back'; readonly why: readonly string[]; readonly faults: readonly string[] }
  /** The journal stays open: another agent goes on with it, or this one goes back. */
  | { readonly outcome: 'handed-over' };

export interface TransactionDeps {
  readonly journal: Journal;
  /** Does one step. On the way back and in the clean-up a step may find its work already done. */
  perform(step: Step, plan: Plan): Promise<void>;
  /** Tells of a step that begins on the way forward. */
  announce(label: string, index: number, step: Step): void;
  /** The present step has failed with this; undefined: committing has. Not called when the agent only has to stop. */
  failed?(error: unknown, step: Step | undefined): void;
  /** Makes `after` what is remembered as installed, together with the report. Called behind the commit point, maybe twice. */
  remember(transaction: TaskOfPlan & { readonly report: DdiFeedback }): Promise<void>;
  /** Makes `before` what is remembered, together with the reasons, if there are any. Called when all is back, maybe twice. */
  giveUp(
    transaction: TaskOfPlan & { readonly why: readonly string[]; readonly faults: readonly string[] },
  ): Promise<void>;
  /** The report of success, made when every step is done. */
  success(plan: Plan): DdiFeedback;
  readonly now: () => number;
}

export interface TaskOfPlan {
  readonly actionId: string;
  readonly sequence: number;
  readonly plan: Plan;
}

/** Runs of the agent that begin to end a transaction and come to no end themselves. */
const MAX_RECOVERIES = 5;

/** @throws before anything was touched, when the journal cannot be begun. */
export async function runTransaction(
  deps: TransactionDeps,
  task: TaskOfPlan,
  signal?: AbortSignal,
): Promise<TransactionResult> {
  const { journal } = deps;
  const { plan, actionId, sequence } = task;
  let label = 'begin';
  let reached = -1;
  let report: DdiFeedback;
  await journal.write({ at: 'begin', actionId, sequence, plan, time: deps.now() });
  try {
    for (const [index, step] of plan.steps.entries()) {
      signal?.throwIfAborted();
      label = stepLabel(step);
      reached = index;
      await journal.write({ at: 'step', index, label, time: deps.now() });
      deps.announce(label, index, step);
      await deps.perform(step, plan);
      if (step.do === 'hand-over') return { outcome: 'handed-over' };
    }
    signal?.throwIfAborted();
    label = 'commit';
    report = await commit(deps, plan);
  } catch (error) {
    if (!signal?.aborted) deps.failed?.(error, label === 'commit' ? undefined : plan.steps[reached]);
    const why = signal?.aborted ? [] : [`could not ${label}: ${errorText(error)}`, ...outputOf(error)];
    return rollBack(deps, { ...task, reached }, why);
  }
  return finish(deps, { ...task, report });
}

/**
 * By the agent that was handed over to, once the server has heard it: what is behind that step. It may be done twice.
 * @throws what keeps it from committing: it does not go back, since that is for the agent before it.
 */
export async function resumeTransaction(deps: TransactionDeps, open: OpenTransaction): Promise<TransactionResult> {
  const { plan } = open;
  if (open.committed) return finish(deps, { ...open, report: open.committed });
  for (const [index, step] of plan.steps.entries()) {
    if (index <= handOverAt(plan)) continue;
    const label = stepLabel(step);
    await deps.journal.write({ at: 'step', index, label, time: deps.now() });
    deps.announce(label, index, step);
    await deps.perform(step, plan);
  }
  return finish(deps, { ...open, report: await commit(deps, plan) });
}

async function commit({ journal, success, now }: TransactionDeps, plan: Plan): Promise<DdiFeedback> {
  const report = success(plan);
  await journal.write({ at: 'committed', report, time: now() });
  return report;
}

/** Ends what a former run left open. Rejected where not even what is remembered can be changed. */
export async function recoverTransaction(deps: TransactionDeps, open: OpenTransaction): Promise<TransactionResult> {
  const { recoveries } = open;
  const inVain = recoveries >= MAX_RECOVERIES;
  await deps.journal.write({ at: 'recover', time: deps.now() }).catch(() => undefined);
  if (open.committed && !open.rollback) return finish(deps, { ...open, report: open.committed }, inVain);
  if (!inVain || open.rollback?.length) return rollBack(deps, open, open.rollback ?? [], inVain);
  return rollBack(deps, open, [`the agent was stopped ${recoveries} times while it went back from this`], inVain);
}

async function rollBack(
  deps: TransactionDeps,
  task: TaskOfPlan & { readonly reached: number },
  why: readonly string[],
  inVain = false,
): Promise<TransactionResult> {
  // A disk that takes no line must not stop the way back: without the line a restart would go back as well.
  await deps.journal.write({ at: 'rollback', why: [...why], time: deps.now() }).catch(() => undefined);
  const steps = planRollback(task.plan, task.reached);
  const faults = await performAll(deps, inVain ? withoutPrograms(steps) : steps, task.plan);
  await deps.giveUp({ ...task, why, faults });
  if (faults.length === 0 || inVain) faults.push(...(await close(deps)));
  return { outcome: 'rolled-back', why, faults };
}

async function finish(
  deps: TransactionDeps,
  task: TaskOfPlan & { readonly report: DdiFeedback },
  inVain = false,
): Promise<TransactionResult> {
  const { cleanUp } = task.plan;
  const remember = (): Promise<string[]> =>
    deps.remember(task).then(
      () => [],
      (error: unknown) => [`could not write down what is installed: ${errorText(error)}`],
    );
  const before = await remember();
  const warnings = await performAll(deps, inVain ? withoutPrograms(cleanUp) : cleanUp, task.plan);
  // There is more room for it behind the clean-up.
  const after = before.length > 0 ? await remember() : [];
  warnings.push(...(after.length > 0 ? after : await close(deps)));
  return { outcome: 'committed', report: task.report, warnings };
}

/** Every step, whatever the others do: what cannot be done is told, not fatal. */
async function performAll(deps: TransactionDeps, steps: readonly Step[], plan: Plan): Promise<string[]> {
  const faults: string[] = [];
  for (const step of steps) {
    try {
      await deps.perform(step, plan);
    } catch (error) {
      faults.push(`could not ${stepLabel(step)}: ${errorText(error)}`, ...outputOf(error));
    }
  }
  return faults;
}

async function close({ journal }: TransactionDeps): Promise<string[]> {
  return journal.close().then(
    () => [],
    (error: unknown) => [`could not close the journal: ${errorText(error)}`],
  );
}
