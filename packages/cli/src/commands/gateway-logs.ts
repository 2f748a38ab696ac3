/** `leonore gateway logs`: the tasks of a gateway, oldest first as in a log, with each step, its time and its words. */
import { type Client, collect } from '@leonore/client';
import { isTerminal, LeonoreError, type Task } from '@leonore/protocol';
import type { App } from '../app.ts';
import { emitList, type OutputFormat } from '../output/emit.ts';
import { createPaint, harmless, type Paint, paintState } from '../output/paint.ts';
import { formatDuration, formatTime } from '../output/quantities.ts';
import { progressText } from '../output/task-view.ts';
import type { ConnectionFlags } from '../settings/connection.ts';

export interface LogFlags extends ConnectionFlags {
  readonly output: OutputFormat;
  readonly limit: number;
  readonly task?: number;
  readonly follow?: boolean;
}

export async function gatewayLogs(id: string, flags: LogFlags, app: App): Promise<void> {
  const { terminal } = app;
  const { signal } = terminal;
  const client = await app.connect(flags);
  // So that an unknown gateway is an error and not an empty log.
  await client.gateways.get(id, { signal });
  const read = () =>
    flags.task === undefined ? newest(client, id, flags.limit, signal) : only(client, id, flags.task, signal);
  const tasks = await read();
  if (flags.output !== 'table' || (tasks.length === 0 && !flags.follow)) {
    await emitList<Task>(terminal, flags.output, tasks, {
      columns: () => [],
      name: (task) => String(task.id),
      whenEmpty: `no task for ${harmless(id)} yet; make one with: leonore provision APP --select id=${harmless(id)}`,
    });
    return;
  }
  const paint = createPaint(terminal.outColour);
  const printed = new Map<number, number>();
  const print = (task: Task) => {
    const lines = taskLines(task, paint);
    const from = printed.get(task.id) ?? 0;
    for (const line of lines.slice(from)) terminal.out(line);
    printed.set(task.id, lines.length);
  };
  tasks.forEach(print);
  if (!flags.follow || hasEnded(flags, tasks)) return;
  const over = new AbortController();
  const look = async () => {
    const now = await read();
    now.forEach(print);
    if (hasEnded(flags, now)) over.abort();
  };
  const events = client.events({
    signal: AbortSignal.any([signal, over.signal]),
    // Of what happened before the stream was up no event tells.
    onConnection: ({ up }) => void (up && look().catch(() => undefined)),
  });
  for await (const event of events) {
    const ofGateway = event.type === 'task' && event.task.gateway === id;
    if (event.type === 'reset' || (ofGateway && (flags.task ?? event.task.id) === event.task.id)) await look();
  }
}

/** Of one task nothing more comes after its end; a gateway goes on. */
function hasEnded({ task }: LogFlags, tasks: readonly Task[]): boolean {
  return task !== undefined && tasks.every(({ state }) => isTerminal(state));
}

/** Oldest first. */
async function newest(client: Client, id: string, limit: number, signal: AbortSignal): Promise<Task[]> {
  return (await collect<Task>(client.gateways.tasks(id).all({ signal }), limit)).toReversed();
}

async function only(client: Client, gateway: string, id: number, signal: AbortSignal): Promise<Task[]> {
  const task = await client.task(id, { signal });
  if (task.gateway === gateway) return [task];
  throw new LeonoreError(
    'cli.usage',
    `task ${id} is one of gateway ${harmless(task.gateway)}, not of ${harmless(gateway)}; leonore task show ${id} tells of it`,
  );
}

/** A task's head and its steps; the lines only ever grow, so that following prints what is new. */
export function taskLines(task: Task, paint: Paint): string[] {
  const head = `${paint.strong(`task ${task.id}`)} of rollout ${task.rollout}, by ${task.strategy}${task.package ? `, package ${task.package}` : ''}`;
  let last = task.createdAt;
  const steps = (task.transitions ?? []).flatMap((step) => {
    const far = step.progress ? `  ${progressText(step.progress, step.state)}` : '';
    const waited = step.at > last ? paint.faint(`  +${formatDuration(step.at - last)}`) : '';
    last = step.at;
    return [
      `${paint.faint(formatTime(step.at))}  ${paintState(paint, step.state)}${far}${waited}`,
      ...step.messages.map((text) => `    ${harmless(text)}`),
    ];
  });
  const failed = task.state === 'failed' || task.state === 'rejected';
  const took = `took ${formatDuration((task.endedAt ?? task.updatedAt) - task.createdAt)}`;
  const end = isTerminal(task.state) ? [paint.faint(failed ? `${took}; why: leonore task show ${task.id}` : took)] : [];
  return [head, ...steps, ...end].map((line, index) => (index === 0 ? line : `  ${line}`));
}
