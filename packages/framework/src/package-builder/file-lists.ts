/** Which files builds have. They never change, so that a list is read and parsed once for many packages. */
import type { FileEntry, Sha256, Tenant } from '@leonore/protocol';
import type { Repositories } from '../repositories/mod.ts';

export interface FileLists {
  of(tenant: Tenant, contentSha256: Sha256): Promise<readonly FileEntry[]>;
}

/** Bounded in files, as long lists weigh more; those that were not asked for longest are read again. */
export function createFileLists(repositories: Pick<Repositories, 'read'>, options: { maxFiles: number }): FileLists {
  const known = new Map<string, readonly FileEntry[]>();
  let files = 0;

  return {
    async of(tenant, contentSha256) {
      const key = `${tenant}/${contentSha256}`;
      const hit = known.get(key);
      if (hit) {
        known.delete(key);
        known.set(key, hit);
        return hit;
      }
      const list = await repositories.read.artifacts.files(tenant, contentSha256);
      if (known.has(key)) return list;
      known.set(key, list);
      files += list.length;
      for (const [oldest, { length }] of known) {
        if (files <= options.maxFiles) break;
        known.delete(oldest);
        files -= length;
      }
      return list;
    },
  };
}
