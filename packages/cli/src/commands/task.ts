/** `leonore task`: one task of one gateway, with all that is known of how it went. */
import { type Client, collect } from '@leonore/client';
import { isLeonoreError, type Task } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { renderTask, type TaskSurroundings } from '../output/task-view.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { parseCount } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

/** So many of a gateway's newest tasks are looked through for those of the same rollout. */
const LOOKED_THROUGH = 50;

export function registerTask(parent: Command, app: App): void {
  const task = parent
    .command('task')
    .description('One change of one gateway: how it went, and why it did not.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore rollout show 3 --tasks --state failed
  $ leonore task show 42
  $ leonore task show 42 -o json`,
    );

  addConnectionOptions(
    addOutputOption(
      task
        .command('show')
        .description('why it failed: the step, its exit code and last lines, what runs now, how to go on'),
    ),
  )
    .argument('<id>', 'its number', parseCount)
    .action(async (id: number, flags: Flags) => {
      const { terminal } = app;
      const client = await app.connect(flags);
      const found = await client.task(id, { signal: terminal.signal });
      const around: TaskSurroundings =
        flags.output === 'table' ? await lookAround(client, found, terminal.signal) : { task: found, former: [] };
      await emitOne(terminal, flags.output, found, {
        name: (one) => String(one.id),
        render: (_task, paint) => renderTask(around, paint, Date.now()),
      });
    });
}

/** A gateway or a rollout that was removed meanwhile leaves the task readable. */
async function lookAround(client: Client, task: Task, signal: AbortSignal): Promise<TaskSurroundings> {
  const [gateway, rollout, tasks] = await Promise.all([
    ifThere(client.gateways.get(task.gateway, { signal })),
    ifThere(client.rollouts.get(task.rollout, { signal })),
    ifThere(collect<Task>(client.gateways.tasks(task.gateway).all({ signal }), LOOKED_THROUGH)),
  ]);
  const former = (tasks ?? []).filter(({ id, rollout: its }) => its === task.rollout && id < task.id);
  return { task, gateway, rollout, former };
}

async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isLeonoreError(error, 'gateway.unknown') || isLeonoreError(error, 'rollout.unknown')) return undefined;
    throw error;
  }
}
