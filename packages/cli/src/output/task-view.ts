/** A task for a terminal: how it ended and why, what was done, what runs now, how it may go on. Pure. */
import {
  type Gateway,
  isTerminal,
  type Rollout,
  type Task,
  type TaskFailure,
  type TaskOutcome,
  type TaskProgress,
  type TaskStep,
} from '@leonore/protocol';
import { harmless, type Paint, paintState } from './paint.ts';
import { formatAge, formatBytes, formatDuration, formatTime } from './quantities.ts';
import { renderFacts, renderTable } from './table.ts';

/** A task and what is around it, as far as it is there still. */
export interface TaskSurroundings {
  readonly task: Task;
  readonly rollout?: Rollout | undefined;
  readonly gateway?: Gateway | undefined;
  /** Former tasks of the same rollout on the same gateway, newest first. */
  readonly former: readonly Task[];
}

type Section = readonly [title: string, lines: readonly string[]];

export function renderTask(around: TaskSurroundings, paint: Paint, now: number): string[] {
  const { task } = around;
  const outcome = outcomeOf(task);
  const sections: readonly Section[] = [
    ['why', whyLines(task, paint)],
    ['last lines', (outcome?.failure?.output ?? []).map((line) => `${paint.faint('|')} ${harmless(line)}`)],
    ['runs now', runsNow(around, paint, now)],
    ['steps', outcome ? stepLines(outcome, paint) : []],
    ['history', historyLines(task, paint, { words: outcome === undefined })],
    ['before', around.former.map((one) => formerLine(one, paint, now))],
    ['next', nextLines(around, paint)],
  ];
  return [
    ...renderFacts(headFacts(around, paint), paint),
    ...sections.flatMap(([title, lines]) =>
      lines.length === 0 ? [] : ['', paint.strong(title.toUpperCase()), ...lines.map((line) => `  ${line}`)],
    ),
  ];
}

/** In a few lines, for the screen of its gateway. */
export function summariseTask(task: Task, paint: Paint, now: number): string[] {
  const failure = outcomeOf(task)?.failure;
  return renderFacts(
    [
      [
        'task',
        `${task.id} of rollout ${task.rollout}: ${paintState(paint, task.state)} ${formatAge(task.endedAt ?? task.updatedAt, now)}`,
      ],
      [isTerminal(task.state) ? 'said' : 'now', task.message && harmless(task.message)],
      ['ended by', failure && exitText(failure)],
      ['more', `leonore task show ${task.id}`],
    ],
    paint,
  );
}

/** What the gateway said of the end in facts; others than LEONORE's agent say nothing. */
export function outcomeOf(task: Task): TaskOutcome | undefined {
  return task.transitions?.findLast(({ outcome }) => outcome !== undefined)?.outcome;
}

/** `3 of 12`; `4.3 MB of 12 MB` while it downloads. */
export function progressText({ count, of }: TaskProgress, state: Task['state']): string {
  return state === 'downloading' ? `${formatBytes(count)} of ${formatBytes(of)}` : `${count} of ${of}`;
}

function headFacts({ task, rollout, gateway }: TaskSurroundings, paint: Paint) {
  const state = paintState(paint, task.canceling && !isTerminal(task.state) ? 'canceling' : task.state);
  const ended = task.endedAt;
  return [
    ['task', `${paint.strong(String(task.id))}  ${state}`],
    ['gateway', `${harmless(task.gateway)}${gateway?.connected ? ', connected' : ''}`],
    ['rollout', rollout ? rolloutText(rollout, paint) : String(task.rollout)],
    ['strategy', strategyText(task)],
    ['package', task.package],
    ['made', formatTime(task.createdAt)],
    [
      'ended',
      ended === undefined ? undefined : `${formatTime(ended)}, after ${formatDuration(ended - task.createdAt)}`,
    ],
  ] as const;
}

function rolloutText({ id, applications, remove, selector, state }: Rollout, paint: Paint): string {
  const what = [
    ...applications.map(({ name, range }) => (range === '*' ? name : `${name}@${range}`)),
    ...remove.map((name) => `-${name}`),
  ];
  return `${id}  ${paintState(paint, state)}  ${what.join(' ')} for ${harmless(selector)}`;
}

function strategyText({ strategy, deliveredBy }: Task): string {
  if (deliveredBy === undefined) return `${strategy}, not delivered yet`;
  return deliveredBy === strategy ? strategy : `${deliveredBy}; ${strategy} was meant`;
}

function whyLines(task: Task, paint: Paint): string[] {
  const outcome = outcomeOf(task);
  const failure = outcome?.failure;
  if (!failure) {
    const told = task.state === 'failed' || task.state === 'rejected' || task.state === 'canceled';
    return told && task.message !== undefined ? [harmless(task.message)] : [];
  }
  const tried = outcome.attempts > 1 ? `${outcome.attempts} times` : undefined;
  const back = outcome.rolledBack;
  const facts = renderFacts(
    [
      ['step', harmless(failure.label)],
      ['ended by', exitText(failure)],
      ['ran for', formatDuration(failure.durationMs)],
      ['begun', tried],
      ['cut off in', outcome.interrupted && [...new Set(outcome.interrupted)].map(harmless).join(', ')],
      ['rolled back', back && (back.faults.length === 0 ? 'yes, cleanly' : paint.bad('yes, with faults'))],
    ],
    paint,
  );
  return [
    paint.bad(harmless(failure.why)),
    ...facts,
    ...(back?.faults ?? []).map((fault) => paint.bad(harmless(fault))),
  ];
}

function exitText({ exitCode, signal }: TaskFailure): string | undefined {
  if (signal !== undefined) return `signal ${harmless(signal)}`;
  return exitCode === undefined ? undefined : `exit code ${exitCode}`;
}

function runsNow({ task, gateway }: TaskSurroundings, paint: Paint, now: number): string[] {
  const told = gateway?.profile.installed ?? outcomeOf(task)?.running;
  if (!told || !isTerminal(task.state)) return [];
  if (told.length === 0) return ['nothing'];
  const since = gateway?.profile.reportedAt;
  const rows = renderTable(
    told,
    [
      { title: 'name', value: ({ name }) => harmless(name) },
      { title: 'version', value: ({ version }) => harmless(version) },
      { title: 'state', value: ({ state }) => paintState(paint, harmless(state)) },
    ],
    { paint },
  );
  return [...rows, ...(since === undefined ? [] : [paint.faint(`as it said ${formatAge(since, now)}`)])];
}

function stepLines({ steps, download, failure }: TaskOutcome, paint: Paint): string[] {
  const failedAt = failure ? steps.length - 1 : -1;
  const note = (step: TaskStep, index: number) => {
    if (index === failedAt) return paint.bad('failed');
    return step.kind === 'download' && download ? downloadText(download) : '';
  };
  const rows = steps.map((step, index) => ({ step, note: note(step, index) }));
  return renderTable(
    rows,
    [
      { title: 'after', value: ({ step }) => formatDuration(step.afterMs), align: 'right' },
      { title: 'took', value: ({ step }) => formatDuration(step.durationMs), align: 'right' },
      { title: 'step', value: ({ step }) => harmless(step.label) },
      { title: '', value: (row) => row.note },
    ],
    { paint },
  );
}

function downloadText({ bytes, of, durationMs, interruptions }: NonNullable<TaskOutcome['download']>): string {
  const speed = bytes > 0 && durationMs > 0 ? `${formatBytes(Math.round((bytes * 1000) / durationMs))}/s` : undefined;
  const broke =
    interruptions === 0 ? undefined : `broke off ${interruptions === 1 ? 'once' : `${interruptions} times`}`;
  return [`${formatBytes(bytes)} of ${formatBytes(of)}`, speed, broke].filter(Boolean).join(', ');
}

/** With `words` every report; without them only where the state changed. */
function historyLines(task: Task, paint: Paint, { words }: { words: boolean }): string[] {
  const all = task.transitions ?? [];
  const shown = words ? all : all.filter(({ state }, index) => state !== all[index - 1]?.state);
  return shown.flatMap(({ state, at, messages, progress }, index) => {
    const before = shown[index - 1]?.at;
    const waited = before === undefined ? '' : paint.faint(`  +${formatDuration(at - before)}`);
    const far = progress ? `  ${progressText(progress, state)}` : '';
    const said = words ? messages.map((text) => `    ${harmless(text)}`) : [];
    return [`${paint.faint(formatTime(at))}  ${paintState(paint, state)}${far}${waited}`, ...said];
  });
}

function formerLine({ id, state, endedAt, updatedAt, message }: Task, paint: Paint, now: number): string {
  const said = message === undefined ? '' : `: ${harmless(message)}`;
  return `task ${id} ${paintState(paint, state)} ${formatAge(endedAt ?? updatedAt, now)}${said}`;
}

function nextLines({ task, rollout }: TaskSurroundings, paint: Paint): string[] {
  const steps: (readonly [string, string])[] = [];
  if (!isTerminal(task.state)) {
    steps.push([`leonore gateway logs ${task.gateway} --task ${task.id} --follow`, 'watch it']);
  } else if (task.state !== 'succeeded') {
    const component = outcomeOf(task)?.failure?.component;
    if (rollout && rollout.state !== 'succeeded') {
      steps.push([`leonore rollout retry ${rollout.id}`, 'try again on every gateway where it did not succeed']);
    }
    if (component && rollout && rollout.counts.failed > 1) {
      const others = `${rollout.counts.failed} gateways failed: if the version is at fault nobody gets it any more`;
      steps.push([`leonore artifact withdraw ${harmless(component.name)}@${harmless(component.version)}`, others]);
    }
    steps.push([`leonore gateway logs ${harmless(task.gateway)} --task ${task.id}`, 'every word that it said']);
  }
  return renderFacts(
    steps.map(([command, why]) => [command, paint.faint(why)]),
    { ...paint, faint: (text) => text },
  );
}
