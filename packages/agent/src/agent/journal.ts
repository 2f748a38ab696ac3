/**
 * The journal of the transaction that is going on: one JSON line for each thing that was decided, appended and flushed
 * before it is acted upon. The first line holds all that is needed to go back or to finish. No journal, no transaction.
 *
 *     begin ──> step* ──> committed ──> recover* ──> (removed)
 *        └────────┴─────> rollback ───> recover* ──> (removed)
 *
 * After a restart: `begin` without `committed` -> roll back; `committed` -> finish. A torn last line was never acted upon.
 * `recover`: a run of the agent has begun to do so; how many there are tells that it comes to no end.
 * What another version of the agent may count on is said in agent-trial.ts.
 */
import { open, readFile, rm, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ddiFeedbackSchema, OUTCOME_LIMITS, type TaskStep } from '@leonore/protocol';
import { z } from 'zod';
import { syncFolder } from './durable-file.ts';
import { installedEntrySchema, installedSetSchema } from './installed.ts';
import type { Plan } from './plan.ts';

const entry = installedEntrySchema;
const stepSchema = z.discriminatedUnion('do', [
  z.object({ do: z.literal('place'), entry }),
  z.object({ do: z.literal('stop'), name: z.string() }),
  z.object({ do: z.literal('install'), entry }),
  z.object({
    do: z.literal('activate'),
    name: z.string(),
    entry: entry.nullable(),
    installPaths: z.array(z.string()),
  }),
  z.object({ do: z.literal('start'), entry, among: z.enum(['before', 'after']) }),
  z.object({ do: z.literal('check'), entry }),
  z.object({ do: z.literal('hand-over'), name: z.string(), entry: entry.nullable() }),
  z.object({ do: z.literal('uninstall'), entry }),
  z.object({ do: z.literal('discard'), name: z.string(), folder: z.string(), data: z.boolean() }),
]);
const planSchema: z.ZodType<Plan> = z.object({
  steps: z.array(stepSchema),
  cleanUp: z.array(stepSchema),
  before: installedSetSchema,
  after: installedSetSchema,
});

const lineSchema = z.discriminatedUnion('at', [
  z.object({ at: z.literal('begin'), actionId: z.string(), sequence: z.int(), plan: planSchema, time: z.number() }),
  z.object({ at: z.literal('step'), index: z.int(), label: z.string(), time: z.number() }),
  z.object({ at: z.literal('rollback'), why: z.array(z.string()), time: z.number() }),
  z.object({ at: z.literal('committed'), report: ddiFeedbackSchema, time: z.number() }),
  z.object({ at: z.literal('recover'), time: z.number() }),
]);
export type JournalLine = z.infer<typeof lineSchema>;

/** A transaction that a former run of the agent left open. */
export interface OpenTransaction {
  readonly actionId: string;
  readonly sequence: number;
  readonly plan: Plan;
  /** The step that was going on, if it came that far. */
  readonly step: string | undefined;
  /** Those that were begun on the way forward, by the clock of that time. */
  readonly steps: readonly TaskStep[];
  /** Its number in the plan; -1 when none was begun. */
  readonly reached: number;
  readonly rollback: readonly string[] | undefined;
  readonly committed: z.infer<typeof ddiFeedbackSchema> | undefined;
  /** How many runs of the agent have begun to end it. */
  readonly recoveries: number;
}

export interface Journal {
  /** Fulfilled when the line is on the disk; rejected, nothing of it is there, as far as the disk lets. `begin` starts a new journal. */
  write(line: JournalLine): Promise<void>;
  /** What is left to finish; undefined when nothing is. */
  read(): Promise<OpenTransaction | undefined>;
  /** The transaction is over. */
  close(): Promise<void>;
}

export function createJournal(file: string): Journal {
  return {
    async write(line) {
      const handle = await open(file, line.at === 'begin' ? 'w' : 'a', 0o600);
      const { size } = await handle.stat();
      try {
        await handle.writeFile(`${JSON.stringify(line)}\n`);
        await handle.sync();
      } catch (error) {
        // Half a line would spoil the next; a whole one that nobody acts upon would be believed.
        await truncate(file, size).catch(() => undefined);
        throw error;
      } finally {
        await handle.close();
      }
      if (line.at === 'begin') await syncFolder(dirname(file));
    },
    async read() {
      const [first, ...rest] = await readLines(file);
      if (first?.at !== 'begin') return undefined;
      const step = rest.findLast((line) => line.at === 'step');
      return {
        actionId: first.actionId,
        sequence: first.sequence,
        plan: first.plan,
        step: step?.label,
        steps: stepsOf(first, rest),
        reached: step?.index ?? -1,
        rollback: rest.findLast((line) => line.at === 'rollback')?.why,
        committed: rest.findLast((line) => line.at === 'committed')?.report,
        recoveries: rest.filter((line) => line.at === 'recover').length,
      };
    },
    async close() {
      await rm(file, { force: true });
      await syncFolder(dirname(file));
    },
  };
}

function stepsOf(begin: JournalLine & { at: 'begin' }, lines: readonly JournalLine[]): TaskStep[] {
  const ms = (from: number, to: number): number => Math.max(0, Math.round(to - from));
  return lines.flatMap((line, index) => {
    const step = line.at === 'step' ? begin.plan.steps[line.index] : undefined;
    if (line.at !== 'step' || !step) return [];
    const durationMs = ms(line.time, lines[index + 1]?.time ?? line.time);
    return [
      {
        kind: step.do,
        label: line.label.slice(0, OUTCOME_LIMITS.label),
        afterMs: ms(begin.time, line.time),
        durationMs,
      },
    ];
  });
}

async function readLines(file: string): Promise<JournalLine[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines: JournalLine[] = [];
  for (const line of text.split('\n')) {
    const parsed = lineSchema.safeParse(parseJson(line));
    // Lines are flushed one by one, so what follows a broken one was never written.
    if (!parsed.success) break;
    lines.push(parsed.data);
  }
  return lines;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
