/** What packages of every tenant hold of the blob store. */
import type { PackageRepository } from '../contract.ts';
import { type Db, fromJson } from '../schema.ts';

export function packageBlobs(db: Db): Pick<PackageRepository, 'count' | 'blobs'> {
  return {
    async count() {
      const row = await db
        .selectFrom('package_uses')
        .select((eb) => eb.fn.countAll().as('packages'))
        .executeTakeFirstOrThrow();
      return Number(row.packages);
    },
    async blobs(after, limit) {
      let query = db
        .selectFrom('packages')
        .select(['tenant', 'id', 'parts'])
        .orderBy('tenant')
        .orderBy('id')
        .limit(limit);
      if (after) query = query.where((eb) => eb(eb.refTuple('tenant', 'id'), '>', eb.tuple(after.tenant, after.id)));
      const rows = await query.execute();
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        blobs: rows.flatMap((row) =>
          fromJson(row.parts).flatMap((part) => (part.kind === 'blob' ? [part.sha256] : [])),
        ),
        ...(last ? { next: { tenant: last.tenant, id: last.id } } : {}),
      };
    },
  };
}
