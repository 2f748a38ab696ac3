/** Rollouts, tasks and their transitions, as the user-facing API shows them. */
import { z } from 'zod';
import { packageIdSchema, rolloutIdSchema, taskIdSchema, timestampSchema } from './ids.ts';
import { applicationRequestSchema, explanationSchema } from './plan.ts';
import { strategySchema } from './profile.ts';
import { deadlinesSchema, taskStateSchema } from './task.ts';

export const rolloutStrategySchema = z.enum(['auto', 'pull', 'push']).meta({ id: 'RolloutStrategy' });
export type RolloutStrategy = z.infer<typeof rolloutStrategySchema>;

export const rolloutStateSchema = z
  .enum(['running', 'paused', 'succeeded', 'failed', 'aborted'])
  .meta({ id: 'RolloutState' });
export type RolloutState = z.infer<typeof rolloutStateSchema>;

export const createRolloutSchema = z
  .object({
    /** Applications to have. May be empty only when `remove` is not. */
    applications: z.array(applicationRequestSchema).max(100).default([]),
    /** Applications to have no longer. */
    remove: z.array(z.string()).max(100).default([]),
    selector: z.string().min(1).max(2000),
    strategy: rolloutStrategySchema.default('auto'),
    deadlines: deadlinesSchema.prefault({}),
    /** Take the newest versions even where what is installed still fits. */
    upgrade: z.boolean().default(false),
  })
  .refine((rollout) => rollout.applications.length + rollout.remove.length > 0, {
    message: 'name at least one application',
  })
  .meta({ id: 'CreateRollout' });
export type CreateRollout = z.infer<typeof createRolloutSchema>;

/** How many tasks are in each state. `blocked`: gateways that no plan exists for; they have no task. */
export const taskCountsSchema = z
  .object({
    total: z.int(),
    pending: z.int(),
    offered: z.int(),
    downloading: z.int(),
    installing: z.int(),
    succeeded: z.int(),
    failed: z.int(),
    rejected: z.int(),
    canceled: z.int(),
    blocked: z.int(),
  })
  .meta({ id: 'TaskCounts' });
export type TaskCounts = z.infer<typeof taskCountsSchema>;
export const NO_TASKS: TaskCounts = {
  total: 0,
  pending: 0,
  offered: 0,
  downloading: 0,
  installing: 0,
  succeeded: 0,
  failed: 0,
  rejected: 0,
  canceled: 0,
  blocked: 0,
};

export const rolloutSchema = z
  .object({
    id: rolloutIdSchema,
    applications: z.array(applicationRequestSchema),
    remove: z.array(z.string()),
    selector: z.string(),
    strategy: rolloutStrategySchema,
    deadlines: deadlinesSchema,
    upgrade: z.boolean(),
    state: rolloutStateSchema,
    /** False while tasks are still being made for the selected gateways: until then `counts.total` rises. */
    planned: z.boolean(),
    counts: taskCountsSchema,
    createdAt: timestampSchema,
    endedAt: timestampSchema.optional(),
    /** Why gateways are blocked, once for each kind of gateway. */
    blockers: z.array(z.object({ gateways: z.int(), example: z.string(), explanation: explanationSchema })).optional(),
  })
  .meta({ id: 'Rollout' });
export type Rollout = z.infer<typeof rolloutSchema>;

export const taskTransitionSchema = z
  .object({ state: taskStateSchema, at: timestampSchema, messages: z.array(z.string()) })
  .meta({ id: 'TaskTransition', description: 'A change of state, or a report that kept the state; oldest first.' });
export type TaskTransition = z.infer<typeof taskTransitionSchema>;

export const taskSchema = z
  .object({
    id: taskIdSchema,
    rollout: rolloutIdSchema,
    gateway: z.string(),
    state: taskStateSchema,
    /** What the strategy decided: the way this task goes out first. Pull always repairs. */
    strategy: strategySchema,
    /** The way the gateway got it. Absent until it did. */
    deliveredBy: strategySchema.optional(),
    package: packageIdSchema.optional(),
    /** The operator asked for it to stop and the gateway has not yet confirmed. */
    canceling: z.boolean(),
    createdAt: timestampSchema,
    updatedAt: timestampSchema,
    endedAt: timestampSchema.optional(),
    /** The last thing that the gateway or LEONORE said of it. */
    message: z.string().optional(),
    transitions: z.array(taskTransitionSchema).optional(),
  })
  .meta({ id: 'Task' });
export type Task = z.infer<typeof taskSchema>;
