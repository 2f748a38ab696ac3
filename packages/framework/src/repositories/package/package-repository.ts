/** The package repository's queries: composed packages by id and by the digest of their header; who needs them. */
import type { PackageContents, PackageId, Tenant } from '@leonore/protocol';
import type { Selectable } from 'kysely';
import type { PackageRecord, PackageRepository } from '../contract.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { packageBlobs } from './package-blobs.ts';
import { packageNeeds } from './package-needs.ts';
import { type Db, fromJson, type PackageTable, present, toJson } from '../schema.ts';

const CURSOR: CursorForm<readonly [createdAt: number, id: string]> = { list: 'packages', example: [0, ''] };

export function createPackageRepository(db: Db): PackageRepository {
  return {
    async insert(tenant, { summary, manifest, parts, own, bases, hashes }) {
      const made = await db
        .insertInto('packages')
        .values({
          tenant,
          id: summary.id,
          sha256: summary.sha256,
          created_at: summary.createdAt,
          summary: toJson(summary),
          manifest: toJson(withoutFiles(manifest)),
          parts: toJson(parts),
          hashes: hashes ? toJson(hashes) : null,
          bases: toJson(bases),
          own,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('id')
        .executeTakeFirst();
      if (!made) return false;
      await db.insertInto('package_uses').values({ tenant, id: summary.id, used_at: summary.createdAt }).execute();
      return true;
    },
    async find(tenant, id) {
      const row = await db
        .selectFrom('packages')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(db, row);
    },
    async has(tenant, id) {
      const row = await db
        .selectFrom('package_uses')
        .select('id')
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .executeTakeFirst();
      return row !== undefined;
    },
    async findByDigest(sha256) {
      const row = await db.selectFrom('packages').selectAll().where('sha256', '=', sha256).limit(1).executeTakeFirst();
      return row && toRecord(db, row);
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
    ...packageNeeds(db),
    ...packageBlobs(db),
  };
}

/** Files of components lie with their builds, once for all packages. */
function withoutFiles(manifest: PackageContents): PackageContents {
  return { ...manifest, components: manifest.components.map((component) => ({ ...component, files: [] })) };
}

async function withFiles(db: Db, tenant: Tenant, manifest: PackageContents): Promise<PackageContents> {
  const lacking = manifest.components.filter(({ files }) => files.length === 0);
  if (lacking.length === 0) return manifest;
  const rows = await db
    .selectFrom('artifact_files')
    .select(['content_sha256', 'files'])
    .where('tenant', '=', tenant)
    .where(
      'content_sha256',
      'in',
      lacking.map(({ contentSha256 }) => contentSha256),
    )
    .execute();
  const lists = new Map(rows.map((row) => [row.content_sha256, row.files]));
  const components = manifest.components.map((component) => {
    const list = component.files.length === 0 ? lists.get(component.contentSha256) : undefined;
    return list === undefined ? component : { ...component, files: [...fromJson(list)] };
  });
  return { ...manifest, components };
}

async function toRecord(db: Db, row: Selectable<PackageTable>): Promise<PackageRecord> {
  return {
    summary: fromJson(row.summary),
    manifest: await withFiles(db, row.tenant, fromJson(row.manifest)),
    parts: fromJson(row.parts),
    own: Buffer.from(row.own.buffer, row.own.byteOffset, row.own.byteLength),
    bases: fromJson(row.bases),
    ...present({ hashes: row.hashes === null ? null : fromJson(row.hashes) }),
  };
}
