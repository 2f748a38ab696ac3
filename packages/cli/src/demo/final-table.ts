/** The demo's last picture: who got what, which way, and how long it took. Pure but for the asking. */
import { type Client, collect } from '@leonore/client';
import type { Gateway, Rollout, Task } from '@leonore/protocol';
import { harmless, type Paint } from '../output/paint.ts';
import { formatDuration } from '../output/quantities.ts';
import { type Column, renderTable } from '../output/table.ts';

export interface Outcome {
  readonly gateway: Gateway;
  /** In the order of the rollouts; undefined where the gateway had no part in it. */
  readonly tasks: readonly (Task | undefined)[];
}

export async function readOutcomes(
  client: Client,
  rollouts: readonly Rollout[],
  signal: AbortSignal,
): Promise<Outcome[]> {
  const gateways: Gateway[] = await collect(client.gateways.all({ signal }));
  const tasks = await Promise.all(rollouts.map(({ id }) => collect<Task>(client.rollouts.tasks(id).all({ signal }))));
  return gateways.map((gateway) => ({
    gateway,
    tasks: tasks.map((ofRollout) => ofRollout.find((task) => task.gateway === gateway.id)),
  }));
}

export function allSucceeded(outcomes: readonly Outcome[]): boolean {
  const tasks = outcomes.flatMap((outcome) => outcome.tasks.filter((task) => task !== undefined));
  return tasks.length > 0 && tasks.every((task) => task.state === 'succeeded');
}

export function renderOutcomes(
  outcomes: readonly Outcome[],
  rollouts: readonly Rollout[],
  paint: Paint,
  width: number | undefined,
): string[] {
  const columns: Column<Outcome>[] = [
    { title: 'gateway', value: ({ gateway }) => harmless(gateway.id) },
    {
      title: 'platform',
      value: ({ gateway: { profile } }) => harmless([profile.os, profile.arch, profile.libc].filter(Boolean).join('/')),
    },
    ...rollouts.map(
      (rollout, index): Column<Outcome> => ({
        title: rollout.applications.map(({ name }) => name).join(' '),
        value: ({ tasks }) => describeTask(tasks[index], paint),
      }),
    ),
    {
      title: 'has now',
      value: ({ gateway }) =>
        (gateway.profile.installed ?? []).map(({ name, version }) => `${name} ${version}`).join(', '),
    },
  ];
  return renderTable(outcomes, columns, { paint, width });
}

function describeTask(task: Task | undefined, paint: Paint): string {
  if (!task) return paint.faint('-');
  const took = formatDuration((task.endedAt ?? task.updatedAt) - task.createdAt);
  if (task.state !== 'succeeded') return paint.bad(`${task.state}: ${harmless(task.message ?? '')}`);
  return `${paint.good('ok')} by ${task.deliveredBy ?? task.strategy}, ${took}`;
}
