/** A rollout's counts as a bar or a sentence, with rate and time left. Pure: the same figures give the same text. */
import type { Rollout, TaskCounts } from '@leonore/protocol';
import type { Paint } from '../output/paint.ts';
import { formatDuration } from '../output/quantities.ts';

/** Tasks that have ended, whatever their end, and gateways that will never have one. */
export function endedCount(counts: TaskCounts): number {
  return counts.succeeded + counts.failed + counts.rejected + counts.canceled + counts.blocked;
}

/** All gateways that count for the progress: `total` has those with a task. */
export function wholeCount(counts: TaskCounts): number {
  return counts.total + counts.blocked;
}

const SHOWN = [
  ['succeeded', 'succeeded'],
  ['failed', 'failed'],
  ['rejected', 'rejected'],
  ['canceled', 'canceled'],
  ['blocked', 'without a plan'],
  ['installing', 'installing'],
  ['downloading', 'downloading'],
  ['offered', 'offered'],
  ['pending', 'waiting'],
] as const satisfies readonly (readonly [keyof TaskCounts, string])[];

/** `12 succeeded, 2 failed, 3 downloading, 6 waiting`; states that nobody is in are left out. */
export function describeCounts(counts: TaskCounts, paint?: Paint): string {
  const words = SHOWN.filter(([state]) => counts[state] > 0).map(([state, word]) => {
    const text = `${counts[state]} ${word}`;
    if (!paint) return text;
    if (state === 'succeeded') return paint.good(text);
    return state === 'failed' || state === 'rejected' || state === 'blocked' ? paint.bad(text) : text;
  });
  return words.length > 0 ? words.join(', ') : 'no gateway yet';
}

export interface Pace {
  /** Ended tasks per second; undefined until two looks show one. */
  readonly perSecond: number | undefined;
  readonly leftMs: number | undefined;
}

export interface PaceMeter {
  observe(atMs: number, counts: TaskCounts): Pace;
}

/** The pace of the last `windowMs`, so that a fleet that slows down is seen to slow down. */
export function createPaceMeter(windowMs = 20_000): PaceMeter {
  let samples: { atMs: number; ended: number }[] = [];
  return {
    observe(atMs, counts) {
      const ended = endedCount(counts);
      samples.push({ atMs, ended });
      const firstInside = samples.findIndex((sample) => sample.atMs >= atMs - windowMs);
      // One sample from before the window is kept, so that a rare look still has something to compare with.
      samples = samples.slice(Math.max(0, firstInside - 1));
      const oldest = samples[0];
      if (!oldest || atMs - oldest.atMs < 200 || ended <= oldest.ended)
        return { perSecond: undefined, leftMs: undefined };
      const perSecond = ((ended - oldest.ended) * 1000) / (atMs - oldest.atMs);
      return { perSecond, leftMs: ((wholeCount(counts) - ended) * 1000) / perSecond };
    },
  };
}

export interface ProgressView {
  readonly rollout: Rollout;
  readonly pace: Pace;
  readonly elapsedMs: number;
  /** Set while the node cannot be reached. */
  readonly lost?: string | undefined;
}

/** The line for where nothing can be redrawn. */
export function progressSentence({ rollout, pace, elapsedMs, lost }: ProgressView): string {
  const { counts } = rollout;
  const state = rollout.state === 'running' ? '' : ` (${rollout.state})`;
  const parts = [
    `rollout ${rollout.id}${state}: ${endedCount(counts)} of ${wholeCount(counts)}${rollout.planned ? '' : ' so far'} done`,
    describeCounts(counts),
    ...paceWords(pace),
    `${formatDuration(elapsedMs)} gone`,
    ...(lost ? [`no answer from the node: ${lost}`] : []),
  ];
  return parts.join('; ');
}

/** Columns kept for what stands beside the bar, so that the bar does not change its length all the time. */
const ROOM_FOR_WORDS = 47;

/** Two lines: the bar, and below it who is where. */
export function progressLines(view: ProgressView, width: number, paint: Paint): string[] {
  const { rollout, pace, elapsedMs } = view;
  const { counts } = rollout;
  const done = endedCount(counts);
  const whole = wholeCount(counts);
  const left = `rollout ${rollout.id} `;
  // 100 % is kept for the end.
  const percent = whole === 0 ? 0 : done >= whole ? 100 : Math.min(99, Math.floor((done * 100) / whole));
  const right = ` ${String(percent).padStart(3)} %  ${done}/${whole}  ${paceWords(pace).join('  ') || formatDuration(elapsedMs)}`;
  const room = Math.max(8, Math.min(40, width - left.length - ROOM_FOR_WORDS));
  const second = view.lost
    ? paint.bad(`no answer from the node, trying again: ${view.lost}`)
    : `${rollout.state === 'running' ? '' : `${rollout.state}: `}${describeCounts(counts, paint)}`;
  return [`${left}${renderBar(counts, room, paint)}${right}`, `  ${second}`];
}

function paceWords({ perSecond, leftMs }: Pace): string[] {
  if (perSecond === undefined) return [];
  const rate = perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
  return leftMs === undefined || leftMs <= 0 ? [rate] : [rate, `about ${formatDuration(leftMs)} left`];
}

/** Succeeded, failed, at work, waiting: told apart by shape, so that it reads without colours too. */
export function renderBar(counts: TaskCounts, width: number, paint: Paint): string {
  const whole = wholeCount(counts);
  const parts = [
    { count: counts.succeeded, sign: '█', colour: paint.good },
    { count: counts.failed + counts.rejected + counts.canceled + counts.blocked, sign: '×', colour: paint.bad },
    { count: counts.installing + counts.downloading, sign: '▒', colour: paint.busy },
  ];
  let drawn = 0;
  let counted = 0;
  let bar = '';
  for (const { count, sign, colour } of parts) {
    counted += count;
    // Rounded at the running sum: the parts then never add up to more than the bar.
    const upTo = whole === 0 ? 0 : Math.floor((counted * width) / whole);
    bar += colour(sign.repeat(upTo - drawn));
    drawn = upTo;
  }
  return `[${bar}${paint.faint('·'.repeat(width - drawn))}]`;
}
