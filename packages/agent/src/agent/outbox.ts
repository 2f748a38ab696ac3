/**
 * Reports on their way to the server, in order, each until it is acknowledged. Those that end a task are files, so they
 * survive the agent; the others live in memory, since what they say is overtaken by the end.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type DdiFeedback, ddiFeedbackSchema } from '@leonore/protocol';
import { z } from 'zod';
import {
  createBackoff,
  createBell,
  errorText,
  type FeedbackOutcome,
  isClosing,
  isPassing,
  type Logger,
  retryAfterMs,
  sleep,
} from '../connectivity/mod.ts';
import { readJsonFile, writeDurable } from './durable-file.ts';

const letterSchema = z.object({ actionId: z.string(), report: ddiFeedbackSchema });
interface Letter extends z.infer<typeof letterSchema> {
  readonly file?: string;
}

export interface OutboxOptions {
  readonly dir: string;
  readonly deliver: (actionId: string, report: DdiFeedback, signal: AbortSignal) => Promise<FeedbackOutcome>;
  /** The server has ended that task, or never knew it. */
  readonly onGone: (actionId: string) => void;
  /** A closing report has arrived. */
  readonly onClosed: (actionId: string) => void;
  readonly logger: Logger;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
}

export interface Outbox {
  /** Closing reports: fulfilled when on disk. */
  add(actionId: string, report: DdiFeedback): Promise<void>;
  /** Whether the end of that task still waits to be told. */
  holdsEndOf(actionId: string): boolean;
  /** Delivers until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Reports in memory; when a server is away for long, the oldest of them are dropped. */
const MAX_WAITING = 200;

export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { dir, logger } = options;
  const queue: Letter[] = [];
  let number = 0;
  const bell = createBell();

  for (const name of (await readdir(dir)).filter((name) => /^\d+\.json$/.test(name)).toSorted()) {
    const file = join(dir, name);
    number = Math.max(number, Number.parseInt(name, 10));
    const letter = letterSchema.safeParse(await readJsonFile(file));
    if (letter.success) queue.push({ ...letter.data, file });
    else await remove(file);
  }

  const drop = async (letter: Letter): Promise<void> => {
    const index = queue.indexOf(letter);
    if (index >= 0) queue.splice(index, 1);
    if (letter.file !== undefined) await remove(letter.file);
  };
  const dropAll = async (actionId: string): Promise<void> => {
    for (const letter of queue.filter((waiting) => waiting.actionId === actionId)) await drop(letter);
  };

  return {
    async add(actionId, report) {
      if (!isClosing(report)) {
        if (queue.length >= MAX_WAITING) {
          const oldest = queue.findIndex((letter) => letter.file === undefined);
          if (oldest >= 0) queue.splice(oldest, 1);
        }
        queue.push({ actionId, report });
      } else {
        number += 1;
        const file = join(dir, `${String(number).padStart(10, '0')}.json`);
        await writeDurable(file, { actionId, report });
        queue.push({ actionId, report, file });
      }
      bell.ring();
    },
    holdsEndOf: (actionId) => queue.some((letter) => letter.actionId === actionId && isClosing(letter.report)),
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: 60_000, ...options.backoff });
      while (!signal.aborted) {
        const letter = queue[0];
        if (!letter) {
          await bell.wait({ signal });
          continue;
        }
        try {
          const outcome = await options.deliver(letter.actionId, letter.report, signal);
          backoff.reset();
          if (outcome === 'accepted') {
            await drop(letter);
          } else {
            await dropAll(letter.actionId);
            options.onGone(letter.actionId);
          }
          if (isClosing(letter.report)) options.onClosed(letter.actionId);
        } catch (error) {
          if (signal.aborted) return;
          if (isRefused(error)) {
            logger.error('the server refuses a report; it is dropped', {
              action: letter.actionId,
              error: errorText(error),
            });
            await drop(letter);
            continue;
          }
          const delayMs = backoff.next(retryAfterMs(error));
          logger.debug('a report waits', { error: errorText(error), inMs: Math.round(delayMs) });
          await sleep(delayMs, signal).catch(() => undefined);
        }
      }
    },
  };
}

/** It will never be taken; credentials may become good again, so they are no reason to lose a report. */
function isRefused(error: unknown): boolean {
  if (isPassing(error)) return false;
  const status =
    error instanceof Error && 'details' in error ? (error.details as Record<string, unknown>)['httpStatus'] : 0;
  return typeof status === 'number' && status >= 400 && status !== 401 && status !== 403;
}

async function remove(file: string): Promise<void> {
  await rm(file, { force: true });
  await rm(`${file}.bak`, { force: true });
}
