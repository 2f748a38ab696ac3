/** Looks through an uploaded segment: is it safe, and what is in it. Writes nothing. */
import { createHash } from 'node:crypto';
import type { ArtifactName, Encoding, FileEntry, Sha256 } from '@leonore/protocol';
import { createEntryBudget, withDefaultLimits, type ArchiveLimits } from './archive-limits.ts';
import { createByteReader } from './byte-reader.ts';
import { createEntryGate } from './entry-gate.ts';
import { componentRoots } from './entry-path.ts';
import { readSegment } from './segment-reader.ts';

export interface SegmentContents {
  /** SHA-256 of the uncompressed tar: what "the same build" means. */
  readonly contentSha256: Sha256;
  /** In the order of the tar: sorted by the bytes of their paths. */
  readonly files: FileEntry[];
  /** Sum of the files' sizes, bytes. */
  readonly unpackedSize: number;
}

/**
 * Reads the segment of the artifact `name` to its end, with flat memory. The source is closed in every case.
 * @throws LeonoreError `archive.hostile` or `archive.corrupt`, naming the entry
 */
export async function inspectSegment(
  source: AsyncIterable<Uint8Array>,
  options: {
    readonly encoding: Encoding;
    readonly name: ArtifactName;
    readonly limits?: Partial<ArchiveLimits>;
    readonly signal?: AbortSignal;
  },
): Promise<SegmentContents> {
  const { encoding, name } = options;
  const admit = createEntryGate(componentRoots(name), createEntryBudget(withDefaultLimits(options.limits)));
  const files: FileEntry[] = [];
  let unpackedSize = 0;
  await using bytes = createByteReader(source, { signal: options.signal });
  const segment = { encoding, subject: `the segment of ${name}` };
  const { contentSha256 } = await readSegment(bytes.rest(), segment, async (entry, body) => {
    admit(entry);
    if (entry.type === 'folder') return;
    const hash = createHash('sha256');
    for await (const chunk of body) hash.update(chunk);
    unpackedSize += entry.size;
    files.push({ path: entry.path, mode: entry.mode, size: entry.size, sha256: hash.digest('hex') as Sha256 });
  });
  return { contentSha256, files, unpackedSize };
}
