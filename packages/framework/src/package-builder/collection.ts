/**
 * Which packages stay. One stays while an active task refers to it, while it is what a gateway installed last, and while
 * it was used lately. Whoever makes tasks uses their packages in the same transaction; whoever collects looks for what
 * nothing needs and then removes what was not used since it looked. So no task is left without its package, whatever runs
 * at the same time on whichever node.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PackageId, Tenant } from '@leonore/protocol';
import type { PackagePlace, Repositories, RepositorySet } from '../repositories/mod.ts';

export interface CollectedPackages {
  readonly packages: number;
  /** Bytes of their own; what they shared is not theirs. */
  readonly bytes: number;
}

export interface PackageCollection {
  /** To be called in the transaction that makes tasks with these packages. False: some are not there any more. */
  use(set: Pick<RepositorySet, 'packages'>, tenant: Tenant, ids: readonly PackageId[]): Promise<boolean>;
  /** Removes packages that nothing needs. */
  collect(signal?: AbortSignal): Promise<CollectedPackages>;
}

const PAGE = 100;
/** A use is noted again after this part of the grace time: a rollout writes it once, not with each of its tasks. */
const FRESH_PART = 1 / 24;

export function createPackageCollection(
  deps: {
    repositories: Repositories;
    now: () => number;
    /** It is gone. */
    onRemoved: (removed: PackagePlace) => void;
  },
  options: { graceMs: number },
): PackageCollection {
  const { repositories, now, onRemoved } = deps;
  return {
    async use(set, tenant, ids) {
      const wanted = [...new Set(ids)];
      if (wanted.length === 0) return true;
      const there = await set.packages.use(tenant, wanted, now(), options.graceMs * FRESH_PART);
      return there.size === wanted.length;
    },
    async collect(signal) {
      const until = now() - options.graceMs;
      let packages = 0;
      let bytes = 0;
      let after: PackagePlace | undefined;
      do {
        signal?.throwIfAborted();
        const page = await repositories.read.packages.unneeded({ until, after, limit: PAGE });
        const removed =
          page.unneeded.length === 0 ? [] : await repositories.write((set) => set.packages.remove(page.unneeded));
        for (const one of removed) {
          onRemoved(one);
          packages += 1;
          bytes += one.bytes;
        }
        after = page.next;
        await nextTurn();
      } while (after);
      return { packages, bytes };
    },
  };
}
