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
  type Clock,
  type Logger,
  MAX_BACKOFF_MS,
  retryAfterMs,
} from '../connectivity/mod.ts';
import { readDurable, removeDurable, writeDurable } from './durable-file.ts';

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
  readonly clock?: Clock | undefined;
}

export interface Outbox {
  /** Closing reports: fulfilled when on disk, or when the disk does not take them. */
  add(actionId: string, report: DdiFeedback): Promise<void>;
  /** Whether the end of that task still waits to be told. */
  holdsEndOf(actionId: string): boolean;
  /** The server answers again: what waits is tried without further delay. */
  hurry(): void;
  /** Delivers until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Reports in memory; when a server is away for long, the oldest of them are dropped. */
const MAX_WAITING = 200;

export async function openOutbox(options: OutboxOptions): Promise<Outbox> {
  const { dir, logger } = options;
  const queue: Letter[] = [];
  /** Files that are still to be deleted. */
  const delivered = new Set<string>();
  let number = 0;
  const bell = createBell(options.clock);
  const back = createBell(options.clock);

  const names = await readdir(dir);
  const letters = names.map((name) => /^(\d+\.json)(\.bak)?$/.exec(name)?.[1]).filter((name) => name !== undefined);
  for (const name of [...new Set(letters)].toSorted()) {
    const file = join(dir, name);
    number = Math.max(number, Number.parseInt(name, 10));
    const letter = await readDurable(file, letterSchema);
    if (letter) queue.push({ ...letter.value, file });
    else await removeDurable(file);
  }
  // Cut off while they were written: nobody was told that they are on disk.
  for (const name of names) if (name.endsWith('.tmp')) await rm(join(dir, name), { force: true });

  const drop = async (letter: Letter): Promise<void> => {
    const index = queue.indexOf(letter);
    if (index >= 0) queue.splice(index, 1);
    if (letter.file !== undefined) delivered.add(letter.file);
    // One that stays is told once more after the next start.
    for (const file of delivered) {
      const gone = await removeDurable(file).then(
        () => true,
        () => false,
      );
      if (gone) delivered.delete(file);
    }
  };
  const dropAll = async (actionId: string): Promise<void> => {
    for (const letter of queue.filter((waiting) => waiting.actionId === actionId)) await drop(letter);
  };

  return {
    async add(actionId, report) {
      if (!isClosing(report)) {
        if (queue.length >= MAX_WAITING) {
          const oldest = queue.findIndex((letter) => !isClosing(letter.report));
          if (oldest >= 0) queue.splice(oldest, 1);
        }
        queue.push({ actionId, report });
      } else {
        number += 1;
        const file = join(dir, `${String(number).padStart(10, '0')}.json`);
        const kept = await writeDurable(file, { actionId, report }).then(
          () => true,
          (error: unknown) => {
            // Told is better than kept: the disk is full, say, and that is what the report is about.
            logger.error('a report cannot be kept on the disk', { action: actionId, error: errorText(error) });
            // What is left of it is written over by the next.
            number -= 1;
            return false;
          },
        );
        queue.push({ actionId, report, ...(kept ? { file } : {}) });
      }
      bell.ring();
    },
    holdsEndOf: (actionId) => queue.some((letter) => letter.actionId === actionId && isClosing(letter.report)),
    hurry: () => back.ring(),
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: MAX_BACKOFF_MS, ...options.backoff });
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
          await back.wait({ ms: delayMs, signal });
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
