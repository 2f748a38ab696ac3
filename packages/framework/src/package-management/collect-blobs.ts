/**
 * Takes away blobs that nothing refers to: what was uploaded and never published, what a package or a delta left behind.
 * Only old ones: whoever is about to refer to a blob touches it first, so what is between its upload and its use is young.
 */
import type { Sha256 } from '@leonore/protocol';
import type { BlobStore, PackagePlace, Repositories } from '../repositories/mod.ts';
import type { SegmentHolds } from './segment-holds.ts';

export interface Collected {
  /** Blobs that went. */
  readonly blobs: number;
  readonly bytes: number;
}

interface Deps {
  readonly repositories: Repositories;
  readonly blobs: BlobStore;
  readonly holds: SegmentHolds;
}

const AT_ONCE = 500;

export async function collectBlobs({ repositories, blobs, holds }: Deps, before: number): Promise<Collected> {
  const old = new Map<Sha256, number>();
  for await (const { sha256, size, touchedAt } of blobs.list()) if (touchedAt < before) old.set(sha256, size);
  // What rotted and is of no use any more need not be kept to be looked at.
  const damaged = new Set<Sha256>();
  for (const { sha256, foundAt } of await blobs.damages()) if (foundAt < before) damaged.add(sha256);

  const unused = await withoutUsers(repositories, new Set([...old.keys(), ...damaged]));
  let [count, bytes] = [0, 0];
  for (const sha256 of unused) {
    if (damaged.has(sha256)) await blobs.forgetDamage(sha256);
    const size = old.get(sha256);
    if (size === undefined) continue;
    const gone = await holds.takeAway(sha256, async () => {
      // Somebody may have come to use it since: then it is young, or has its user by now.
      const used = (await withoutBuildsAndDeltas(repositories, new Set([sha256]))).size === 0;
      return !used && (await blobs.remove(sha256, before));
    });
    if (gone !== true) continue;
    count++;
    bytes += size;
  }
  return { blobs: count, bytes };
}

/** Those of the candidates that no build, package or delta of any tenant refers to. */
async function withoutUsers(repositories: Repositories, candidates: ReadonlySet<Sha256>): Promise<ReadonlySet<Sha256>> {
  const unused = await withoutBuildsAndDeltas(repositories, candidates);
  // Packages refer to segments, which were left out; those of former versions have blobs of their own.
  for (let after: PackagePlace | undefined, more = unused.size > 0; more; more = after !== undefined) {
    const page = await repositories.read.packages.blobs(after, AT_ONCE);
    for (const sha256 of page.blobs) unused.delete(sha256);
    after = page.next;
  }
  return unused;
}

async function withoutBuildsAndDeltas({ read }: Repositories, candidates: ReadonlySet<Sha256>): Promise<Set<Sha256>> {
  const unused = new Set(candidates);
  const digests = [...candidates];
  for (let at = 0; at < digests.length; at += AT_ONCE) {
    const some = digests.slice(at, at + AT_ONCE);
    for (const { segment } of await read.artifacts.segmentUsers(some)) unused.delete(segment.sha256);
    for (const sha256 of await read.deltas.uses(some)) unused.delete(sha256);
  }
  return unused;
}
