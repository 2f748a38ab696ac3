/**
 * Keeps an application's log small, however fast it is written: looks the more often the faster it grows. What a flood
 * says between two looks is lost, and mostly never gets to the disk. Works only while the agent does.
 */
import { errorText, type Logger, sleep } from '../connectivity/mod.ts';
import { rotateLog } from './log-file.ts';

export interface KeptLog {
  readonly name: string;
  readonly file: string;
  readonly maxBytes: number;
  /** Between two looks at a log that does not grow, ms. */
  readonly longestMs: number;
  readonly logger: Logger;
}

const SHORTEST_MS = 5;
/** Of a flood this often the end is kept as FILE.1, ms. */
const KEEP_EVERY_MS = 1000;
const SAY_EVERY_MS = 60_000;
const AFTER_FAULT_MS = 10_000;

/** Until `signal`. Never rejects. */
export async function keepLog(log: KeptLog, signal: AbortSignal): Promise<void> {
  const { name, file, maxBytes, longestMs, logger } = log;
  let before: { readonly size: number; readonly at: number } | undefined;
  let keptAt = -Infinity;
  let saidAt = -Infinity;
  const look = async (lastWaitMs: number): Promise<number> => {
    const at = performance.now();
    const { size, cut, kept } = await rotateLog(file, maxBytes, at - keptAt >= KEEP_EVERY_MS);
    if (kept) keptAt = at;
    /** Bytes a millisecond. */
    const rate = before ? Math.max(0, size - before.size) / Math.max(1, at - before.at) : 0;
    before = { size: cut ? 0 : size, at };
    if (cut && rate * 1000 > maxBytes && at - saidAt >= SAY_EVERY_MS) {
      saidAt = at;
      logger.warn('application floods its log; most of it is thrown away', {
        name,
        bytesPerSecond: Math.round(rate * 1000),
      });
    }
    // Until a quarter of what is kept may be written.
    return Math.min(longestMs, Math.max(SHORTEST_MS, Math.min(lastWaitMs * 2, maxBytes / 4 / rate)));
  };
  for (let waitMs = SHORTEST_MS; !signal.aborted; ) {
    try {
      waitMs = await look(waitMs);
    } catch (error) {
      logger.warn('cannot keep the log of an application small', { name, error: errorText(error) });
      waitMs = AFTER_FAULT_MS;
    }
    await sleep(waitMs, signal).catch(() => undefined);
  }
}
