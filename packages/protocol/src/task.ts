/**
 * The task state machine. A task is one change of one gateway; DDI calls it an action.
 *
 *     pending -> offered -> downloading -> installing -> succeeded
 *                  any of these -> failed | rejected | canceled
 *
 * Invariants: a state is left only forwards (steps may be skipped, a gateway that reports late has done them all);
 * a terminal state stands: whatever arrives later or twice changes nothing.
 */
import { z } from 'zod';

export const taskStateSchema = z
  .enum(['pending', 'offered', 'downloading', 'installing', 'succeeded', 'failed', 'rejected', 'canceled'])
  .meta({ id: 'TaskState' });
export type TaskState = z.infer<typeof taskStateSchema>;

const RANK: Record<TaskState, number> = {
  pending: 0,
  offered: 1,
  downloading: 2,
  installing: 3,
  succeeded: 4,
  failed: 4,
  rejected: 4,
  canceled: 4,
};

export const TERMINAL_STATES = ['succeeded', 'failed', 'rejected', 'canceled'] as const satisfies TaskState[];
export const ACTIVE_STATES = ['pending', 'offered', 'downloading', 'installing'] as const satisfies TaskState[];

export type ActiveTaskState = (typeof ACTIVE_STATES)[number];

export function isTerminal(state: TaskState): boolean {
  return RANK[state] === 4;
}

/** True when `to` lies ahead of `from` and `from` is not terminal. */
export function canMove(from: TaskState, to: TaskState): boolean {
  return !isTerminal(from) && RANK[to] > RANK[from];
}

/** How long a task may stay in each phase before it fails by itself, seconds. */
export const deadlinesSchema = z
  .strictObject({
    pending: z
      .int()
      .min(1)
      .max(31_536_000)
      .default(7 * 86_400),
    offered: z.int().min(1).max(31_536_000).default(86_400),
    downloading: z
      .int()
      .min(1)
      .max(31_536_000)
      .default(4 * 3600),
    installing: z.int().min(1).max(31_536_000).default(3600),
  })
  .meta({ id: 'Deadlines', description: 'Seconds a task may stay in each phase before it fails by itself.' });
export type Deadlines = z.infer<typeof deadlinesSchema>;
export const DEFAULT_DEADLINES: Deadlines = deadlinesSchema.parse({});
