/** Rollouts, tasks and their transitions, as the user-facing API shows them. */
import { z } from 'zod';
import { packageIdSchema, rolloutIdSchema, taskIdSchema, timestampSchema } from './ids.ts';
import { taskOutcomeSchema, taskProgressSchema } from './outcome.ts';
import { maintenanceWindowSchema } from './maintenance-window.ts';
import { applicationRequestSchema, explanationSchema } from './plan.ts';
import { strategySchema } from './profile.ts';
import { deadlinesSchema, taskStateSchema } from './task.ts';

export const rolloutStrategySchema = z.enum(['auto', 'pull', 'push']).meta({ id: 'RolloutStrategy' });
export type RolloutStrategy = z.infer<typeof rolloutStrategySchema>;

export const rolloutStateSchema = z
  .enum(['running', 'paused', 'succeeded', 'failed', 'aborted'])
  .meta({ id: 'RolloutState' });
export type RolloutState = z.infer<typeof rolloutStateSchema>;

/**
 * How far a gateway decides itself. `forced`: at once. `soft`: when it suits it. `time-forced`: as soft, from `forcedAt` on
 * forced. `download-only`: it fetches and does not install. LEONORE's own agent takes the first three as forced.
 */
export const handlingModeSchema = z
  .enum(['forced', 'soft', 'time-forced', 'download-only'])
  .meta({ id: 'HandlingMode' });
export type HandlingMode = z.infer<typeof handlingModeSchema>;

/** hawkBit's: what counts where nothing is said. */
export const MAX_WEIGHT = 1000;

export const handlingSchema = z
  .strictObject({
    mode: handlingModeSchema.default('forced'),
    /** With `time-forced`, and only with it. */
    forcedAt: timestampSchema.optional(),
    /** Outside of it nothing is installed. */
    window: maintenanceWindowSchema.optional(),
    /** Of what waits for a gateway the heaviest goes first, then the oldest. Absent: as heavy as can be. */
    weight: z.int().min(0).max(MAX_WEIGHT).optional(),
    /** The gateway, or whoever stands before it, has to agree first (DDI's confirmation). */
    confirm: z.boolean().default(false),
  })
  .refine(({ mode, forcedAt }) => (mode === 'time-forced') === (forcedAt !== undefined), {
    message: 'forcedAt says from when on it is forced; it goes with the mode time-forced, and with no other',
  })
  .meta({ id: 'Handling' });
export type Handling = z.infer<typeof handlingSchema>;
export const DEFAULT_HANDLING: Handling = handlingSchema.parse({});

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
    /** Absent: forced, at once. */
    handling: handlingSchema.optional(),
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
    handling: handlingSchema.optional(),
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
  .object({
    state: taskStateSchema,
    at: timestampSchema,
    messages: z.array(z.string()),
    /** Where the gateway says so. */
    progress: taskProgressSchema.optional(),
    /** With the end of a task of LEONORE's own agent. */
    outcome: taskOutcomeSchema.optional(),
  })
  .meta({ id: 'TaskTransition', description: 'A change of state, or a report that kept the state; oldest first.' });
export type TaskTransition = z.infer<typeof taskTransitionSchema>;

/**
 * Beside the state. `unconfirmed`: it waits for the gateway's agreement; `confirmed`: it has it. `downloaded`: it ended with
 * the package on the gateway, not installed.
 */
export const taskConditionSchema = z.enum(['unconfirmed', 'confirmed', 'downloaded']).meta({ id: 'TaskCondition' });
export type TaskCondition = z.infer<typeof taskConditionSchema>;

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
    condition: taskConditionSchema.optional(),
    createdAt: timestampSchema,
    updatedAt: timestampSchema,
    endedAt: timestampSchema.optional(),
    /** The last thing that the gateway or LEONORE said of it. */
    message: z.string().optional(),
    transitions: z.array(taskTransitionSchema).optional(),
  })
  .meta({ id: 'Task' });
export type Task = z.infer<typeof taskSchema>;
