/** `leonore gateway logs`: the tasks of a gateway, oldest first as in a log, with each step, its time and its words. */
import { type Client, collect } from '@leonore/client';
import { isTerminal, type Task } from '@leonore/protocol';
import type { App } from '../app.ts';
import { emitList, type OutputFormat } from '../output/emit.ts';
import { createPaint, harmless, type Paint, paintState } from '../output/paint.ts';
import { formatDuration, formatTime } from '../output/quantities.ts';
import type { ConnectionFlags } from '../settings/connection.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat; readonly limit: number; readonly follow?: boolean };

export async function gatewayLogs(id: string, flags: Flags, app: App): Promise<void> {
  const { terminal } = app;
  const client = await app.connect(flags);
  // So that an unknown gateway is an error and not an empty log.
  await client.gateways.get(id, { signal: terminal.signal });
  const tasks = (await newest(client, id, flags.limit, terminal.signal)).toReversed();
  if (flags.output !== 'table' || (tasks.length === 0 && !flags.follow)) {
    await emitList<Task>(terminal, flags.output, tasks, {
      columns: () => [],
      name: (task) => String(task.id),
      whenEmpty: `no task for ${harmless(id)} yet; make one with: leonore provision APP --select id=${id}`,
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
  if (!flags.follow) return;
  for await (const event of client.events({ signal: terminal.signal })) {
    const here = event.type === 'reset' || (event.type === 'task' && event.task.gateway === id);
    if (here) for (const task of (await newest(client, id, flags.limit, terminal.signal)).toReversed()) print(task);
  }
}

function newest(client: Client, id: string, limit: number, signal: AbortSignal): Promise<Task[]> {
  return collect(client.gateways.tasks(id).all({ signal }), limit);
}

/** A task's head and its steps; the lines only ever grow, so that following prints what is new. */
export function taskLines(task: Task, paint: Paint): string[] {
  const head = `${paint.strong(`task ${task.id}`)} of rollout ${task.rollout}, by ${task.strategy}${task.package ? `, package ${task.package}` : ''}`;
  let last = task.createdAt;
  const steps = (task.transitions ?? []).flatMap((step) => {
    const first = `${paint.faint(formatTime(step.at))}  ${paintState(paint, step.state)}${step.at > last ? paint.faint(`  +${formatDuration(step.at - last)}`) : ''}`;
    last = step.at;
    return [first, ...step.messages.map((text) => `    ${harmless(text)}`)];
  });
  const end = isTerminal(task.state)
    ? [paint.faint(`took ${formatDuration((task.endedAt ?? task.updatedAt) - task.createdAt)}`)]
    : [];
  return [head, ...steps, ...end].map((line, index) => (index === 0 ? line : `  ${line}`));
}
