/**
 * Notes while a task is worked on what the operator will ask about when it is over: which steps there were and how long
 * each took, what came over the air, what failed and what it printed. Holds no more than a report may carry.
 */
import {
  type InstalledComponent,
  isLeonoreError,
  OUTCOME_LIMITS,
  type TaskFailure,
  type TaskOutcome,
  type TaskStep,
} from '@leonore/protocol';
import { errorText } from '../connectivity/mod.ts';

/** What comes over the air, as it comes. */
export interface AirTally {
  /** Of package and deltas. */
  bytes: number;
  /** How often the connection broke. */
  interruptions: number;
}

/** `accept`, `download`, `verify`, `unpack`, `commit`, or what a plan's step does. */
export interface StepName {
  readonly kind: string;
  readonly label: string;
  readonly component?: { readonly name: string; readonly version: string };
}

export interface OutcomeFacts {
  readonly attempts: number;
  readonly interrupted?: readonly string[] | undefined;
  /** Of the whole package, bytes. */
  readonly size: number;
  readonly running: readonly InstalledComponent[];
  /** Faults on the way back; absent where nothing had to be taken back. */
  readonly back?: readonly string[] | undefined;
}

export interface TaskRecord {
  readonly air: AirTally;
  /** The step before it is over. */
  step(name: StepName): void;
  /** The present step has failed; the first one counts. `name`: another one that was under way with it, and it is the one. */
  fail(error: unknown, name?: StepName): void;
  outcome(facts: OutcomeFacts): TaskOutcome;
}

/** `elapsed`: milliseconds of a clock that never jumps. */
export function createTaskRecord(elapsed: () => number = () => performance.now()): TaskRecord {
  const begun = elapsed();
  const air: AirTally = { bytes: 0, interruptions: 0 };
  const steps: TaskStep[] = [];
  let present: (StepName & { readonly at: number }) | undefined;
  let failure: TaskFailure | undefined;

  const close = (): TaskStep | undefined => {
    if (!present) return undefined;
    const { at, kind, label } = present;
    const took = { afterMs: milliseconds(at - begun), durationMs: milliseconds(elapsed() - at) };
    const step = { kind, label: cut(label, OUTCOME_LIMITS.label), ...took };
    steps.push(step);
    present = undefined;
    return step;
  };
  return {
    air,
    step(name) {
      close();
      if (!failure) present = { ...name, at: elapsed() };
    },
    fail(error, name) {
      if (failure || !present) return;
      if (name && name.kind !== present.kind) {
        close();
        present = { ...name, at: elapsed() };
      }
      const { component } = present;
      const step = close();
      if (step) failure = { ...failureOf(error, step), ...(component ? { component } : {}) };
    },
    outcome({ attempts, interrupted = [], size, running, back }) {
      close();
      const download = steps.find(({ kind }) => kind === 'download');
      return {
        ...(failure ? { failure } : {}),
        attempts,
        ...(interrupted.length > 0 ? { interrupted: interrupted.slice(-10) } : {}),
        ...(download ? { download: { ...air, of: size, durationMs: download.durationMs } } : {}),
        steps: shortened(steps),
        ...(back ? { rolledBack: { faults: lines(back, OUTCOME_LIMITS.why) } } : {}),
        running: running.slice(0, OUTCOME_LIMITS.running).map(({ name, version, state }) => ({ name, version, state })),
      };
    },
  };
}

/** Of a transaction that a former run of the agent began: only what the journal knows. Without `why` it has succeeded. */
export function recoveredOutcome(
  steps: readonly TaskStep[],
  why: readonly string[],
  facts: Omit<OutcomeFacts, 'size'>,
): TaskOutcome {
  const last = steps.at(-1) ?? { kind: 'accept', label: 'accept the task', afterMs: 0, durationMs: 0 };
  const [words = '', ...output] = why;
  const record = createTaskRecord(() => 0).outcome({ ...facts, size: 0 });
  const failure: TaskFailure = {
    kind: last.kind,
    label: last.label,
    why: cut(words, OUTCOME_LIMITS.why),
    durationMs: last.durationMs,
    output: lines(output, OUTCOME_LIMITS.line),
  };
  return {
    ...record,
    steps: shortened(steps),
    ...(why.length === 0 ? {} : { failure }),
  };
}

/** In a report's details: what an error carries of the output of what failed. */
export function outputOf(error: unknown): string[] {
  const output = detailsOf(error)['output'];
  return Array.isArray(output) ? output.map(String) : [];
}

function failureOf(error: unknown, { kind, label, durationMs }: TaskStep): TaskFailure {
  const { exitCode, signal } = detailsOf(error);
  return {
    kind,
    label,
    why: cut(errorText(error), OUTCOME_LIMITS.why),
    ...(isLeonoreError(error) ? { code: error.code } : {}),
    ...(typeof exitCode === 'number' && Number.isSafeInteger(exitCode) ? { exitCode } : {}),
    ...(typeof signal === 'string' && signal !== '' ? { signal: cut(signal, 20) } : {}),
    durationMs,
    output: lines(outputOf(error), OUTCOME_LIMITS.line),
  };
}

function detailsOf(error: unknown): Readonly<Record<string, unknown>> {
  return error instanceof Error && 'details' in error ? (error.details as Record<string, unknown>) : {};
}

/** The last of them: the end says what went wrong. */
function lines(texts: readonly string[], length: number): string[] {
  return texts.slice(-OUTCOME_LIMITS.lines).map((text) => cut(text, length));
}

/** The first and the last of them. */
function shortened(steps: readonly TaskStep[]): TaskStep[] {
  const { steps: most } = OUTCOME_LIMITS;
  return steps.length <= most ? [...steps] : [...steps.slice(0, most / 2), ...steps.slice(-most / 2)];
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function milliseconds(value: number): number {
  return Math.max(0, Math.round(value));
}
