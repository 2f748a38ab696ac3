/**
 * Downloads as the gateway's owner allows them: in his windows, and no faster than he says. Bytes that are not read are
 * not sent: what waits here slows the connection down, it is not stored. A download that is under way when its window
 * closes breaks off, and goes on in the next one.
 */
import { LeonoreError } from '@leonore/protocol';
import { destroyBody } from './body.ts';
import { type DownloadWindow, isOpen, localTime, nextOpening } from './download-windows.ts';
import type { Downloads } from './download-package.ts';
import { DEFAULT_IDLE_TIMEOUT_MS } from './http/http-client.ts';
import type { Clock } from './wait.ts';

export interface DownloadLimits {
  /** Bytes per second; absent: as fast as it goes. */
  readonly maxRate?: number | undefined;
  /** None: at any time. They are the owner's word, so they hold whatever the server says of a task. */
  readonly windows?: readonly DownloadWindow[] | undefined;
}

export interface LimitedDownloadsOptions extends DownloadLimits {
  readonly clock: Clock;
  /** A download waits, for what the words say. */
  readonly onWait?: (words: string) => void;
}

/** How often it is looked at the time of day: the clock may be set, and summer time begin. */
const LOOK_MS = 60_000;
/** What buffers on the way may hold: so much is read without any traffic on the connection. */
const BUFFERED_BYTES = 512 * 1024;

export function limitDownloads(downloads: Downloads, options: LimitedDownloadsOptions): Downloads {
  const { clock, maxRate, windows = [] } = options;
  if (maxRate === undefined && windows.length === 0) return downloads;
  const pace = maxRate === undefined ? undefined : createPace(maxRate, clock);
  const open = (): boolean => isOpen(windows, new Date(clock.now()));

  const untilOpen = async (signal?: AbortSignal): Promise<void> => {
    if (open()) return;
    const now = new Date(clock.now());
    options.onWait?.(`waits for its download window until ${localTime(nextOpening(windows, now), now)}`);
    while (!open()) {
      const leftMs = nextOpening(windows, new Date(clock.now())).getTime() - clock.now();
      await clock.sleep(Math.min(Math.max(leftMs, 1), LOOK_MS), signal);
    }
  };

  async function* limited(body: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    for await (const chunk of body) {
      await pace?.(chunk.length, signal);
      yield chunk;
      if (!open()) throw new LeonoreError('server.unreachable', 'the download window has closed');
    }
  }

  return {
    async download(url, range = {}) {
      const { signal } = range;
      await untilOpen(signal);
      const idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS + (maxRate === undefined ? 0 : (BUFFERED_BYTES / maxRate) * 1000);
      const answer = await downloads.download(url, { idleTimeoutMs, ...range });
      const { body } = answer;
      return {
        ...answer,
        body: {
          [Symbol.asyncIterator]: () => limited(body, signal)[Symbol.asyncIterator](),
          destroy: () => destroyBody(body),
        },
      };
    },
  };
}

/** Of a second without traffic the next one may make use, no more, ms. */
const BURST_MS = 1000;

/** Waits until so many more bytes may be taken: a bucket that fills by `rate` bytes each second. */
function createPace(rate: number, clock: Clock): (bytes: number, signal?: AbortSignal) => Promise<void> {
  let paidUntil = -Infinity;
  return async (bytes, signal) => {
    const at = clock.elapsed();
    paidUntil = Math.max(paidUntil, at - BURST_MS) + (bytes / rate) * 1000;
    if (paidUntil > at) await clock.sleep(paidUntil - at, signal);
  };
}
