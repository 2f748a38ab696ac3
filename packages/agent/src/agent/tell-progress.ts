/** Tells of a download that takes long: after a minute, two more, four more, at last once an hour. */
import { formatBytes, type TaskProgress } from '@leonore/protocol';
import { sleep } from '../connectivity/mod.ts';
import type { AirTally } from './task-record.ts';

export interface TellProgressOptions {
  /** What comes, as it comes. */
  readonly air: AirTally;
  /** Of the whole package, bytes. */
  readonly size: number;
  readonly tell: (words: string, progress: TaskProgress) => Promise<void>;
  /** Until it is told of for the first time, ms. */
  readonly firstMs?: number | undefined;
}

const MINUTE_MS = 60_000;
const LONGEST_MS = 60 * MINUTE_MS;

/** Fulfilled when the signal is aborted. */
export async function tellProgress(options: TellProgressOptions, signal: AbortSignal): Promise<void> {
  const { air, size, tell, firstMs = MINUTE_MS } = options;
  const begun = performance.now();
  let told = 0;
  for (let waitMs = firstMs; ; waitMs = Math.min(2 * waitMs, LONGEST_MS)) {
    await sleep(waitMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    if (air.bytes === told) continue;
    told = air.bytes;
    const perSecond = Math.round((told * 1000) / (performance.now() - begun));
    const words = `${formatBytes(told)} of at most ${formatBytes(size)} are here, ${formatBytes(perSecond)} each second`;
    await tell(words, { count: told, of: size });
  }
}
