/** What each part of the benchmark is given. */
export interface BuildBench {
  readonly runs: number;
  /** Packages composed one after another, and as many again at once. */
  readonly packages: number;
  /** Bytes of the payload that is composed and served, and of the one that memory is measured with beside it. */
  readonly payloadBytes: number;
  readonly largeBytes: number;
  readonly clients: number;
  /** Also packs folders that others made and deltas of their releases, which npm fetches. */
  readonly releases: boolean;
  /** A folder of its own, removed at the end. */
  readonly folder: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export const MB = 1e6;
/** `12 MB` */
export const megabytes = (bytes: number): string => `${Math.round(bytes / MB)} MB`;

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
