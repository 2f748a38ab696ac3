/** The package repository's queries: composed packages by id and by the digest of their header. */
import type { PackageId } from '@leonore/protocol';
import type { Selectable } from 'kysely';
import type { PackageRecord, PackageRepository } from '../contract.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { type Db, fromJson, type PackageTable, present, toJson } from '../schema.ts';

const CURSOR: CursorForm<readonly [createdAt: number, id: string]> = { list: 'packages', example: [0, ''] };

export function createPackageRepository(db: Db): PackageRepository {
  return {
    async insert(tenant, { summary, manifest, parts, hashes }) {
      const made = await db
        .insertInto('packages')
        .values({
          tenant,
          id: summary.id,
          sha256: summary.sha256,
          created_at: summary.createdAt,
          summary: toJson(summary),
          manifest: toJson(manifest),
          parts: toJson(parts),
          hashes: hashes ? toJson(hashes) : null,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('id')
        .executeTakeFirst();
      return made !== undefined;
    },
    async find(tenant, id) {
      const row = await db
        .selectFrom('packages')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async findByDigest(sha256) {
      const row = await db.selectFrom('packages').selectAll().where('sha256', '=', sha256).limit(1).executeTakeFirst();
      return row && toRecord(row);
    },
    async setHashes(tenant, id, hashes) {
      await db
        .updateTable('packages')
        .set({ hashes: toJson(hashes) })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .execute();
    },
    async list(tenant, { cursor, limit }) {
      const after = decodeCursor(CURSOR, cursor);
      let query = db
        .selectFrom('packages')
        .select(['created_at', 'id', 'summary'])
        .where('tenant', '=', tenant)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit + 1);
      if (after) {
        const [createdAt, id] = after;
        query = query.where((eb) => eb(eb.refTuple('created_at', 'id'), '<', eb.tuple(createdAt, id as PackageId)));
      }
      return toPage(
        await query.execute(),
        limit,
        CURSOR,
        (row) => [row.created_at, row.id] as const,
        (row) => fromJson(row.summary),
      );
    },
  };
}

function toRecord(row: Selectable<PackageTable>): PackageRecord {
  return {
    summary: fromJson(row.summary),
    manifest: fromJson(row.manifest),
    parts: fromJson(row.parts),
    ...present({ hashes: row.hashes === null ? null : fromJson(row.hashes) }),
  };
}
