/**
 * The executor: takes a plan to its end, or back to its beginning. It decides nothing about what to do (plan.ts) and
 * knows nothing of how a step is done (`perform`); it keeps the one promise of an update:
 *
 *   I. Before the commit point any fault brings everything back to `before`; after it nothing is taken back.
 *   II. Each line of the journal is on the disk before what it announces happens, so a restart at any point knows
 *       which side of the commit point it stands on and does what `run` would have done.
 *   III. The commit point is the journal's `committed` line; it carries the report of success, so that the result of
 *       the task is as durable as the change itself.
 */
import type { DdiFeedback } from '@leonore/protocol';
import { errorText } from '../connectivity/mod.ts';
import type { Journal, OpenTransaction } from './journal.ts';
import { type Plan, planRollback, type Step, stepLabel } from './plan.ts';

export type TransactionResult =
  | { readonly outcome: 'committed'; readonly report: DdiFeedback; readonly warnings: readonly string[] }
  /**
   * `why`: the failing step and what it said, line by line; empty when nothing failed but the agent had to stop, so that
   * the task may be tried again. `faults`: what went wrong on the way back.
   */
  | { readonly outcome: 'rolled-back'; readonly why: readonly string[]; readonly faults: readonly string[] };

export interface TransactionDeps {
  readonly journal: Journal;
  /** Does one step. On the way back and in the clean-up a step may find its work already done. */
  perform(step: Step, plan: Plan): Promise<void>;
  /** Tells of a step that begins on the way forward. */
  announce(label: string): void;
  /** Makes `after` what is remembered as installed, together with the report. Called behind the commit point, maybe twice. */
  remember(transaction: { actionId: string; sequence: number; plan: Plan; report: DdiFeedback }): Promise<void>;
  /** The report of success, made when every step is done. */
  success(plan: Plan): DdiFeedback;
  readonly now: () => number;
}

export async function runTransaction(
  deps: TransactionDeps,
  task: { readonly actionId: string; readonly sequence: number; readonly plan: Plan },
  signal?: AbortSignal,
): Promise<TransactionResult> {
  const { journal } = deps;
  const { plan } = task;
  await journal.write({ at: 'begin', actionId: task.actionId, sequence: task.sequence, plan, time: deps.now() });
  let label = 'begin';
  let report: DdiFeedback;
  try {
    for (const [index, step] of plan.steps.entries()) {
      signal?.throwIfAborted();
      label = stepLabel(step);
      await journal.write({ at: 'step', index, label, time: deps.now() });
      deps.announce(label);
      await deps.perform(step, plan);
    }
    signal?.throwIfAborted();
    label = 'commit';
    report = deps.success(plan);
    await journal.write({ at: 'committed', report, time: deps.now() });
  } catch (error) {
    const why = signal?.aborted ? [] : [`could not ${label}: ${errorText(error)}`, ...outputOf(error)];
    return rollBack(deps, plan, why);
  }
  return finish(deps, { ...task, report });
}

/** Ends what a former run left open. */
export async function recoverTransaction(deps: TransactionDeps, open: OpenTransaction): Promise<TransactionResult> {
  if (open.committed && !open.rollback) return finish(deps, { ...open, report: open.committed });
  return rollBack(deps, open.plan, open.rollback ?? []);
}

async function rollBack(deps: TransactionDeps, plan: Plan, why: readonly string[]): Promise<TransactionResult> {
  // A disk that takes no line must not stop the way back: without the line a restart would go back as well.
  await deps.journal.write({ at: 'rollback', why: [...why], time: deps.now() }).catch(() => undefined);
  const faults = await performAll(deps, planRollback(plan), plan);
  await deps.journal.close();
  return { outcome: 'rolled-back', why, faults };
}

async function finish(
  deps: TransactionDeps,
  task: { actionId: string; sequence: number; plan: Plan; report: DdiFeedback },
): Promise<TransactionResult> {
  await deps.remember(task);
  const warnings = await performAll(deps, task.plan.cleanUp, task.plan);
  await deps.journal.close();
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

function outputOf(error: unknown): string[] {
  const details = error instanceof Error && 'details' in error ? (error.details as Record<string, unknown>) : {};
  const output = details['output'];
  return Array.isArray(output) ? output.map(String) : [];
}
