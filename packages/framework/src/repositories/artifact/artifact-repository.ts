/** The artifact repository's queries. A build never changes; that it is withdrawn lies beside it. */
import { isDeepStrictEqual } from 'node:util';
import { type Artifact, platformKey, type Tenant } from '@leonore/protocol';
import type { Selectable } from 'kysely';
import semver from 'semver';
import type { ArtifactRepository } from '../contract.ts';
import { counted, countUp } from '../counters.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { type ArtifactTable, type Db, fromJson, plainText, present, toJson } from '../schema.ts';
import { versionOrder } from './version-order.ts';

const CURSOR: CursorForm<readonly [name: string, version: string, platform: string]> = {
  list: 'artifacts',
  example: ['', '', ''],
  accepts: ([, version]) => semver.valid(version) !== null,
};

export function createArtifactRepository(db: Db): ArtifactRepository {
  const buildsOf = (tenant: Tenant) =>
    db
      .selectFrom('artifacts')
      .selectAll()
      .where('tenant', '=', tenant)
      .orderBy('name')
      .orderBy('version_order', 'desc')
      .orderBy('platform');

  return {
    async insert(tenant, { withdrawnAt: _at, withdrawnReason: _reason, ...artifact }, files) {
      const { name, version } = artifact.manifest;
      const build = { tenant, name, version, platform: platformKey(artifact.manifest.platform) };
      const made = await db
        .insertInto('artifacts')
        .values({
          ...build,
          version_order: versionOrder(version),
          content_sha256: artifact.contentSha256,
          artifact: toJson(artifact),
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('name')
        .executeTakeFirst();
      if (!made) {
        const row = await buildsOf(tenant)
          .where('name', '=', name)
          .where('version', '=', version)
          .where('platform', '=', build.platform)
          .executeTakeFirstOrThrow();
        return isSame(fromJson(row.artifact), artifact) ? 'same' : 'conflict';
      }
      await db
        .insertInto('artifact_files')
        .values({ tenant, content_sha256: artifact.contentSha256, files: toJson(files) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      await db
        .insertInto('artifact_segments')
        .values(artifact.segments.map(({ sha256 }) => ({ ...build, sha256 })))
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      await countUp(db, tenant, 'artifact-revision');
      return 'created';
    },
    async files(tenant, contentSha256) {
      const row = await db
        .selectFrom('artifact_files')
        .select('files')
        .where('tenant', '=', tenant)
        .where('content_sha256', '=', contentSha256)
        .executeTakeFirst();
      return row ? fromJson(row.files) : [];
    },
    async builds(tenant, name, version) {
      const rows = await buildsOf(tenant)
        .where('name', '=', name)
        .$if(version !== undefined, (query) => query.where('version', '=', version ?? ''))
        .execute();
      return rows.map(toArtifact);
    },
    async list(tenant, { cursor, limit, name }) {
      const after = decodeCursor(CURSOR, cursor);
      let query = buildsOf(tenant).limit(limit + 1);
      if (name !== undefined) query = query.where('name', '=', name);
      if (after) {
        const [lastName, lastVersion, lastPlatform] = after;
        const lastOrder = versionOrder(lastVersion);
        query = query.where((eb) =>
          eb.or([
            eb('name', '>', lastName),
            eb.and([eb('name', '=', lastName), eb('version_order', '<', lastOrder)]),
            eb.and([eb('name', '=', lastName), eb('version_order', '=', lastOrder), eb('platform', '>', lastPlatform)]),
          ]),
        );
      }
      return toPage(
        await query.execute(),
        limit,
        CURSOR,
        (row) => [row.name, row.version, row.platform] as const,
        toArtifact,
      );
    },
    async all(tenant) {
      return (await buildsOf(tenant).execute()).map(toArtifact);
    },
    revision: (tenant) => counted(db, tenant, 'artifact-revision'),
    async withdraw(tenant, name, version, at, reason) {
      const withdrawn = await db
        .updateTable('artifacts')
        .set({ withdrawn_at: at, withdrawn_reason: plainText(reason) })
        .where('tenant', '=', tenant)
        .where('name', '=', name)
        .where('version', '=', version)
        .where('withdrawn_at', 'is', null)
        .returning('platform')
        .execute();
      if (withdrawn.length > 0) await countUp(db, tenant, 'artifact-revision');
      return withdrawn.length;
    },
    async usesSegment(sha256) {
      const row = await db
        .selectFrom('artifact_segments')
        .select('name')
        .where('sha256', '=', sha256)
        .limit(1)
        .executeTakeFirst();
      return row !== undefined;
    },
  };
}

function toArtifact(row: Selectable<ArtifactTable>): Artifact {
  return {
    ...fromJson(row.artifact),
    ...present({ withdrawnAt: row.withdrawn_at, withdrawnReason: row.withdrawn_reason }),
  };
}

/** Segments may differ: the same bytes, compressed by another zlib. */
function isSame(known: Artifact, offered: Artifact): boolean {
  const asStored: Artifact = fromJson(toJson(offered));
  return known.contentSha256 === asStored.contentSha256 && isDeepStrictEqual(known.manifest, asStored.manifest);
}
