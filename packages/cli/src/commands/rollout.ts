/** `leonore rollout`: what goes out, how far it is, and the hand on it. */
import { collect } from '@leonore/client';
import { type Rollout, type Task, type TaskState, taskStateSchema } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { EXIT } from '../exit-codes.ts';
import { addOutputOption, emitList, emitOne, type ListView, type OutputFormat } from '../output/emit.ts';
import { harmless, type Paint, paintState } from '../output/paint.ts';
import { formatAge, formatDuration, formatTime, parseDuration } from '../output/quantities.ts';
import { renderFacts } from '../output/table.ts';
import { describeCounts, endedCount, wholeCount } from '../progress/fleet-progress.ts';
import { reportRollout, watchRollout } from '../progress/watch-rollout.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { describeHandling } from './handling.ts';
import { parseCount } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

const ACTIONS = {
  pause: 'hold it: nothing new is offered; what is under way goes on',
  resume: 'let it go on',
  abort: 'end it: what has not begun is taken back',
  retry: 'try again on the gateways where it failed',
} as const;

export function registerRollout(parent: Command, app: App): void {
  const rollout = parent
    .command('rollout')
    .description('Rollouts: what was asked for, how far it is, and the hand on it. leonore provision makes one.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore rollout watch 3
  $ leonore rollout show 3 --tasks --state failed
  $ leonore rollout retry 3`,
    );

  addConnectionOptions(addOutputOption(rollout.command('list').alias('ls').description('list rollouts, newest first')))
    .option('--limit <n>', 'at most so many', parseCount)
    .action(async (flags: Flags & { limit?: number }) => {
      const client = await app.connect(flags);
      const items: Rollout[] = await collect(client.rollouts.all({ signal: app.terminal.signal }), flags.limit);
      await emitList(app.terminal, flags.output, items, rolloutView(Date.now()));
    });

  addConnectionOptions(
    addOutputOption(rollout.command('show').description('show a rollout, or with --tasks each gateway of it')),
  )
    .argument('<id>')
    .option('--tasks', 'list its tasks, one for each gateway')
    .addOption(new Option('--state <state>', 'only tasks in this state').choices(taskStateSchema.options))
    .option('--limit <n>', 'at most so many tasks', parseCount)
    .action(async (id: string, flags: Flags & { tasks?: boolean; state?: TaskState; limit?: number }) => {
      const client = await app.connect(flags);
      const { signal } = app.terminal;
      if (flags.tasks || flags.state) {
        const all = client.rollouts.tasks(id).all({ state: flags.state, signal });
        await emitList(app.terminal, flags.output, await collect<Task>(all, flags.limit), taskView);
        return;
      }
      const found = await client.rollouts.get(id, { signal });
      await emitOne(app.terminal, flags.output, found, { name: (one) => String(one.id), render: describeRollout });
    });

  addConnectionOptions(
    addOutputOption(
      rollout.command('watch').description('follow it to its end; ends with 0 only if every gateway has it'),
    ),
  )
    .argument('<id>')
    .option('--timeout <duration>', 'how long to watch, such as 10m')
    .action(async (id: string, flags: Flags & { timeout?: string }) => {
      const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout);
      const client = await app.connect(flags);
      const ended = await watchRollout(client, id, app.terminal, { timeoutMs });
      if (!(await reportRollout(client, ended, app.terminal))) app.exitCode = EXIT.failed;
      await emitOne(app.terminal, flags.output, ended, { name: (one) => String(one.id), render: describeRollout });
    });

  for (const action of Object.keys(ACTIONS) as (keyof typeof ACTIONS)[]) {
    addConnectionOptions(addOutputOption(rollout.command(action).description(ACTIONS[action])))
      .argument('<id>')
      .action(async (id: string, flags: Flags) => {
        const client = await app.connect(flags);
        const changed = await client.rollouts[action](id, { signal: app.terminal.signal });
        await emitOne(app.terminal, flags.output, changed, {
          name: (one) => String(one.id),
          render: (one, paint) => [
            `rollout ${one.id} ${paintState(paint, one.state)}: ${describeCounts(one.counts, paint)}`,
          ],
        });
      });
  }
}

function what(rollout: Rollout): string {
  return [
    ...rollout.applications.map(({ name, range }) => (range === '*' ? name : `${name}@${range}`)),
    ...rollout.remove.map((name) => `-${name}`),
  ].join(' ');
}

const percent = ({ counts }: Rollout) =>
  wholeCount(counts) === 0 ? '-' : `${Math.floor((endedCount(counts) * 100) / wholeCount(counts))} %`;

function rolloutView(now: number): ListView<Rollout> {
  return {
    columns: (paint) => [
      { title: 'id', value: (one) => String(one.id), align: 'right' },
      { title: 'state', value: (one) => paintState(paint, one.state) },
      { title: 'done', value: percent, align: 'right' },
      { title: 'gateways', value: (one) => String(wholeCount(one.counts)), align: 'right' },
      {
        title: 'failed',
        value: ({ counts }) => String(counts.failed + counts.rejected + counts.blocked),
        align: 'right',
      },
      { title: 'strategy', value: (one) => one.strategy },
      { title: 'what', value: what },
      { title: 'selector', value: (one) => harmless(one.selector) },
      { title: 'made', value: (one) => formatAge(one.createdAt, now) },
    ],
    name: (one) => String(one.id),
    whenEmpty: "no rollouts yet; make one with: leonore provision APP --select '*'",
  };
}

const taskView: ListView<Task> = {
  columns: (paint) => [
    { title: 'id', value: (one) => String(one.id), align: 'right' },
    { title: 'gateway', value: (one) => harmless(one.gateway) },
    { title: 'state', value: (one) => paintState(paint, one.canceling ? 'canceling' : one.state) },
    { title: 'by', value: (one) => one.deliveredBy ?? `(${one.strategy})` },
    { title: 'took', value: (one) => formatDuration((one.endedAt ?? Date.now()) - one.createdAt), align: 'right' },
    { title: 'message', value: (one) => harmless(one.message ?? '') },
  ],
  name: (one) => String(one.id),
  whenEmpty: 'no such tasks',
};

export function describeRollout(rollout: Rollout, paint: Paint): string[] {
  return renderFacts(
    [
      ['rollout', paint.strong(String(rollout.id))],
      ['state', paintState(paint, rollout.state)],
      ['what', what(rollout)],
      ['gateways', `${harmless(rollout.selector)} (${wholeCount(rollout.counts)}${rollout.planned ? '' : ' so far'})`],
      ['strategy', `${rollout.strategy}${rollout.upgrade ? ', newest versions' : ''}`],
      ['handling', rollout.handling && describeHandling(rollout.handling)],
      ['tasks', describeCounts(rollout.counts, paint)],
      ['made', formatTime(rollout.createdAt)],
      [
        'ended',
        rollout.endedAt === undefined
          ? undefined
          : `${formatTime(rollout.endedAt)}, after ${formatDuration(rollout.endedAt - rollout.createdAt)}`,
      ],
    ],
    paint,
  );
}
