/**
 * Reads blobs from the disk in full and compares them with their digests: every one there is and every one that should
 * be. One verification at a time, so that many of them do not take the disk from the gateways; the others wait.
 */
import { artifactLabel, isLeonoreError, type Damage, type Sha256, type Verification } from '@leonore/protocol';
import type { BlobDamage, BlobStore, Repositories } from '../repositories/mod.ts';

export interface BlobVerification {
  /** These blobs. */
  verify(sha256s: Iterable<Sha256>): Promise<Verification>;
  /**
   * Every blob that is there or that a build needs, in the order of their digests, behind `after`; for about `forMs`, so
   * that an answer comes soon: its `next` says where to go on.
   */
  verifyAll(after: Sha256 | undefined, forMs: number): Promise<Verification>;
  /** Damages with what needs them, in words. */
  describe(damages: readonly BlobDamage[]): Promise<Damage[]>;
}

const PAGE = 1000;

export function createBlobVerification(deps: {
  repositories: Repositories;
  blobs: BlobStore;
  now: () => number;
}): BlobVerification {
  const { repositories, blobs, now } = deps;
  let turn: Promise<unknown> = Promise.resolve();

  function alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function check(sha256: Sha256): Promise<{ size: number } | BlobDamage> {
    try {
      return await blobs.verify(sha256);
    } catch (error) {
      if (isLeonoreError(error, 'storage.corrupt')) {
        return { sha256, problem: error.details['problem'] as BlobDamage['problem'], foundAt: now() };
      }
      // Closed to us, or on a disk that fails otherwise.
      if (error instanceof Error && 'syscall' in error) return { sha256, problem: 'unreadable', foundAt: now() };
      throw error;
    }
  }

  async function run(sha256s: readonly Sha256[], forMs: number): Promise<Verification> {
    const until = now() + forMs;
    const damages: BlobDamage[] = [];
    let [checked, bytes] = [0, 0];
    for (const sha256 of sha256s) {
      const found = await check(sha256);
      checked++;
      if ('size' in found) bytes += found.size;
      else damages.push(found);
      if (now() >= until) break;
    }
    const next = checked < sha256s.length ? sha256s[checked - 1] : undefined;
    return {
      ok: damages.length === 0,
      blobs: checked,
      bytes,
      damages: await describe(damages),
      ...(next === undefined ? {} : { next }),
    };
  }

  async function everyDigest(): Promise<Set<Sha256>> {
    const all = new Set<Sha256>();
    for await (const { sha256 } of blobs.list()) all.add(sha256);
    for (let last: Sha256 | undefined; ; ) {
      const page = await repositories.read.artifacts.segmentDigests(last, PAGE);
      for (const sha256 of page) all.add(sha256);
      last = page.at(-1);
      if (page.length < PAGE) return all;
    }
  }

  async function describe(damages: readonly BlobDamage[]): Promise<Damage[]> {
    const digests = damages.map(({ sha256 }) => sha256);
    const users = await repositories.read.artifacts.segmentUsers(digests);
    const deltas = await repositories.read.deltas.uses(digests);
    return damages.map((damage) => ({
      ...damage,
      neededBy: [
        ...users
          .filter(({ segment }) => segment.sha256 === damage.sha256)
          .map(({ artifact, segment }) => `${artifactLabel(artifact.manifest)}, ${segment.encoding}`),
        ...(deltas.has(damage.sha256) ? ['a delta'] : []),
      ],
    }));
  }

  return {
    verify: (sha256s) => alone(() => run([...new Set(sha256s)], Infinity)),
    verifyAll: (after, forMs) =>
      alone(async () => {
        const digests = [...(await everyDigest())].toSorted();
        return run(after === undefined ? digests : digests.filter((sha256) => sha256 > after), forMs);
      }),
    describe,
  };
}
