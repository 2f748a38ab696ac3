/** How much an archive may hold, whatever it claims. */
import { hostile, quoted } from './archive-fault.ts';

export interface ArchiveLimits {
  /** Files and folders together. */
  readonly maxEntries: number;
  /** Sum of the files' sizes, bytes. */
  readonly maxUnpackedBytes: number;
  /** Size of a package's header, packed and unpacked, bytes. It is held in memory. */
  readonly maxHeaderBytes: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  maxEntries: 100_000,
  maxUnpackedBytes: 4 * 2 ** 30,
  maxHeaderBytes: 32 * 2 ** 20,
};

export function withDefaultLimits(limits: Partial<ArchiveLimits> = {}): ArchiveLimits {
  return { ...DEFAULT_ARCHIVE_LIMITS, ...limits };
}

/** Counts what comes out of one archive, before it is read or written. */
export interface EntryBudget {
  /** @throws LeonoreError `archive.hostile` when the entry is one too many. */
  spend(entry: { readonly path: string; readonly size: number }): void;
}

export function createEntryBudget(limits: ArchiveLimits): EntryBudget {
  let entries = 0;
  let bytes = 0;
  return {
    spend({ path, size }) {
      entries += 1;
      bytes += size;
      if (entries > limits.maxEntries) {
        throw hostile(quoted(path), `is one entry more than the ${limits.maxEntries} that are allowed`);
      }
      if (bytes > limits.maxUnpackedBytes) {
        throw hostile(quoted(path), `brings the archive to ${bytes} bytes; ${limits.maxUnpackedBytes} are allowed`);
      }
    },
  };
}
