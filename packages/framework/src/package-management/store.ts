/** The store as an operator sees it: how full it is, what of it is damaged, what can go. */
import type { Collection, Sha256, StoreStatus, Verification } from '@leonore/protocol';
import type { BlobStore, Repositories } from '../repositories/mod.ts';
import { createBlobVerification } from './verification.ts';

export interface Store {
  status(): Promise<StoreStatus>;
  /** How full it is, without a look into the database. */
  usage: BlobStore['usage'];
  damages: BlobStore['damages'];
  /** Reads these blobs from the disk, or all from `after` on until about two seconds are over (`next` says whether). */
  verify(what: { readonly blobs: Iterable<Sha256> } | { readonly after: Sha256 | undefined }): Promise<Verification>;
  /** Takes away now what nothing needs. */
  collect(): Promise<Collection>;
}

/** Short enough for any proxy's patience, long enough that the way there and back does not count. */
const VERIFY_FOR_MS = 2000;

export function createStore(deps: {
  repositories: Repositories;
  blobs: BlobStore;
  now: () => number;
  collect: () => Promise<Collection>;
}): Store {
  const { repositories, blobs, collect } = deps;
  const verification = createBlobVerification(deps);
  return {
    async status() {
      const { quota, disk, uploads, ...usage } = await blobs.usage();
      const deltas = await repositories.read.deltas.totals();
      return {
        segments: { count: usage.blobs.count - deltas.count, bytes: usage.blobs.bytes - deltas.bytes },
        deltas,
        uploads,
        packages: { count: await repositories.read.packages.count() },
        quota: { used: usage.blobs.bytes + uploads.bytes, ...(quota === undefined ? {} : { limit: quota }) },
        disk,
        damages: await verification.describe(await blobs.damages()),
      };
    },
    usage: blobs.usage,
    damages: blobs.damages,
    verify: (what) =>
      'blobs' in what ? verification.verify(what.blobs) : verification.verifyAll(what.after, VERIFY_FOR_MS),
    collect,
  };
}
