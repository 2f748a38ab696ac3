/** Shows a rollout until it ends, then what became of it: the counts, and by name what failed and why. */
import { type Client, collect } from '@leonore/client';
import { LeonoreError, type Rollout, type Task } from '@leonore/protocol';
import { createPaint, harmless } from '../output/paint.ts';
import { renderExplanation } from '../output/plan-tree.ts';
import { formatDuration } from '../output/quantities.ts';
import type { Terminal } from '../terminal.ts';
import { createPaceMeter, describeCounts, progressLines, progressSentence } from './fleet-progress.ts';
import { followRollout } from './follow-rollout.ts';
import { createLiveDisplay } from './live-display.ts';

export interface WatchOptions {
  readonly timeoutMs?: number | undefined;
}

/** How many failures are named; the rest is counted. */
const NAMED = 10;

/** The rollout as it ended. @throws LeonoreError `server.unreachable` when the time is over; Interrupted on Ctrl-C. */
export async function watchRollout(
  client: Client,
  id: number | string,
  terminal: Terminal,
  options: WatchOptions = {},
): Promise<Rollout> {
  const timeout = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
  const signal = timeout ? AbortSignal.any([terminal.signal, timeout]) : terminal.signal;
  const meter = createPaceMeter();
  const paint = createPaint(terminal.errColour);
  using display = createLiveDisplay(terminal);
  const startedAt = terminal.now();
  let lost: string | undefined;
  let rollout: Rollout | undefined;
  const show = () => {
    if (!rollout) return;
    const now = terminal.now();
    const view = { rollout, pace: meter.observe(now, rollout.counts), elapsedMs: now - startedAt, lost };
    display.show({
      lines: () => progressLines(view, terminal.columns(), paint),
      sentence: () => progressSentence(view),
    });
  };
  const ticking = setInterval(show, 250);
  try {
    const onLost = (why: string | undefined) => (lost = why);
    for await (const now of followRollout(client, id, { signal, onLost })) {
      rollout = now;
      show();
    }
  } catch (error) {
    display.clear();
    if (terminal.signal.aborted) {
      terminal.err(`the rollout goes on without us; look again with: leonore rollout watch ${id}`);
    } else if (timeout?.aborted) {
      const counts = rollout ? `: ${describeCounts(rollout.counts)}` : '';
      throw new LeonoreError(
        'task.state',
        `rollout ${id} did not end within ${formatDuration(options.timeoutMs ?? 0)}${counts}; it goes on, look again with: leonore rollout watch ${id}`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    clearInterval(ticking);
  }
  if (!rollout) throw new LeonoreError('rollout.unknown', `there is no rollout ${id}`);
  display.clear();
  return rollout;
}

/** What became of it, on stderr. Gives true when every gateway has it. */
export async function reportRollout(client: Client, rollout: Rollout, terminal: Terminal): Promise<boolean> {
  const paint = createPaint(terminal.errColour);
  const { counts } = rollout;
  const took = rollout.endedAt === undefined ? '' : ` in ${formatDuration(rollout.endedAt - rollout.createdAt)}`;
  const whole =
    rollout.state === 'succeeded' && counts.failed + counts.rejected + counts.canceled + counts.blocked === 0;
  const state = whole ? paint.good(rollout.state) : paint.bad(rollout.state);
  terminal.err(`rollout ${rollout.id} ${state}${took}: ${describeCounts(counts, paint)}`);
  for (const line of await failureLines(client, rollout)) terminal.err(line);
  for (const { gateways, example, explanation } of rollout.blockers ?? []) {
    terminal.err(`${gateways === 1 ? harmless(example) : `${gateways} gateways such as ${harmless(example)}`}:`);
    for (const line of renderExplanation(explanation, paint)) terminal.err(`  ${line}`);
  }
  return whole;
}

async function failureLines(client: Client, rollout: Rollout): Promise<string[]> {
  const tasks = client.rollouts.tasks(rollout.id);
  const lines: string[] = [];
  let example: Task | undefined;
  for (const state of ['failed', 'rejected'] as const) {
    const count = rollout.counts[state];
    if (count === 0) continue;
    const named: Task[] = await collect(tasks.all({ state }), NAMED);
    example ??= named[0];
    for (const task of named)
      lines.push(`  ${harmless(task.gateway)} ${state}: ${harmless(task.message ?? 'no reason given')}`);
    if (count > named.length) {
      lines.push(`  and ${count - named.length} more: leonore rollout show ${rollout.id} --tasks --state ${state}`);
    }
  }
  if (example) lines.push(`  why, step by step: leonore task show ${example.id}`);
  if (lines.length > 0) lines.push(`  once the cause is mended: leonore rollout retry ${rollout.id}`);
  return lines;
}
