/**
 * What LEONORE's own agent says of a task in facts, beside the words of its feedback: the steps it took, how it ended and
 * why, what runs then. Bounded, so that a task costs the node's database little. Others leave it out, and nothing needs it.
 */
import { z } from 'zod';

/** Bounds that the agent keeps; what goes beyond them is not taken in. */
export const OUTCOME_LIMITS = { label: 200, why: 1000, line: 500, lines: 20, steps: 100, running: 100 } as const;

const labelSchema = z.string().max(OUTCOME_LIMITS.label);
/** `accept`, `download`, `verify`, or what a plan's step does: `start`, `check`...; others may follow. */
const kindSchema = z.string().max(20);
const millisecondsSchema = z.int().min(0);

export const taskStepSchema = z
  .object({
    kind: kindSchema,
    /** In words: `start svm 1.2.28`. */
    label: labelSchema,
    /** When it began, ms after the gateway took the task up. */
    afterMs: millisecondsSchema,
    durationMs: millisecondsSchema,
  })
  .meta({ id: 'TaskStep' });
export type TaskStep = z.infer<typeof taskStepSchema>;

export const taskFailureSchema = z
  .object({
    /** The step that failed. */
    kind: kindSchema,
    label: labelSchema,
    /** What it was about; absent where it was about all of them. */
    component: z.object({ name: z.string().max(100), version: z.string().max(100) }).optional(),
    why: z.string().max(OUTCOME_LIMITS.why),
    /** LEONORE's code for that kind of fault, such as agent.unhealthy. */
    code: z.string().max(60).optional(),
    /** Of the script or the application that failed. */
    exitCode: z.int().optional(),
    signal: z.string().max(20).optional(),
    durationMs: millisecondsSchema,
    /** What it printed last, oldest first. */
    output: z.array(z.string().max(OUTCOME_LIMITS.line)).max(OUTCOME_LIMITS.lines),
  })
  .meta({ id: 'TaskFailure' });
export type TaskFailure = z.infer<typeof taskFailureSchema>;

export const taskOutcomeSchema = z
  .object({
    /** Absent when it succeeded. */
    failure: taskFailureSchema.optional(),
    /** How often installing was begun; 0: it never came to that. */
    attempts: z.int().min(0).max(1000),
    /** The steps in which former attempts were cut off: the agent or the machine was stopped. */
    interrupted: z.array(labelSchema).max(10).optional(),
    /** What came over the air. */
    download: z
      .object({
        bytes: z.int().min(0),
        /** Of the whole package. */
        of: z.int().min(0),
        durationMs: millisecondsSchema,
        /** How often the connection broke. */
        interruptions: z.int().min(0),
      })
      .optional(),
    /** Oldest first; the last is the one that failed, if any did. */
    steps: z.array(taskStepSchema).max(OUTCOME_LIMITS.steps),
    /** What went wrong on the way back to what was there. Absent where nothing had to be taken back. */
    rolledBack: z.object({ faults: z.array(z.string().max(OUTCOME_LIMITS.why)).max(OUTCOME_LIMITS.lines) }).optional(),
    /** What is on the gateway now. */
    running: z
      .array(z.object({ name: z.string().max(100), version: z.string().max(100), state: z.string().max(20) }))
      .max(OUTCOME_LIMITS.running),
  })
  .meta({ id: 'TaskOutcome', description: "What LEONORE's own agent says of a task's end." });
export type TaskOutcome = z.infer<typeof taskOutcomeSchema>;

/** How far it is: the step of that number, of so many; while it downloads, bytes. */
export const taskProgressSchema = z
  .object({ count: z.number().min(0), of: z.number().min(0) })
  .meta({ id: 'TaskProgress' });
export type TaskProgress = z.infer<typeof taskProgressSchema>;
