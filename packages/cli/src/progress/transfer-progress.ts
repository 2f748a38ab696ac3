/** The progress of bytes on their way, up or down. */
import { formatBytes, formatDuration } from '../output/quantities.ts';
import type { Terminal } from '../terminal.ts';
import { createLiveDisplay } from './live-display.ts';

export interface TransferProgress extends Disposable {
  readonly show: (bytes: number) => void;
}

export function createTransferProgress(terminal: Terminal, what: string, size: number): TransferProgress {
  const display = createLiveDisplay(terminal);
  const startedAt = terminal.now();
  let first: number | undefined;
  return {
    show: (bytes) => {
      // What was there before we began has no part in the rate.
      first ??= bytes;
      const elapsedMs = terminal.now() - startedAt;
      const text = transferSentence(what, { bytes, size, moved: bytes - first, elapsedMs });
      display.show({ lines: () => [text], sentence: () => text });
    },
    [Symbol.dispose]: () => display.clear(),
  };
}

export interface Transfer {
  readonly bytes: number;
  readonly size: number;
  /** Bytes of this try. */
  readonly moved: number;
  readonly elapsedMs: number;
}

/** `uploading svm: 1.2 MiB of 11.4 MiB, 10 %, 3.1 MiB/s, about 3.3 s left`. Pure. */
export function transferSentence(what: string, { bytes, size, moved, elapsedMs }: Transfer): string {
  const percent = size === 0 ? 100 : Math.floor((bytes * 100) / size);
  const perSecond = elapsedMs >= 200 && moved > 0 ? (moved * 1000) / elapsedMs : undefined;
  const left = perSecond === undefined || bytes >= size ? undefined : ((size - bytes) * 1000) / perSecond;
  return [
    `${what}: ${formatBytes(bytes)} of ${formatBytes(size)}`,
    `${percent} %`,
    ...(perSecond === undefined ? [] : [`${formatBytes(perSecond)}/s`]),
    ...(left === undefined ? [] : [`about ${formatDuration(left)} left`]),
  ].join(', ');
}
