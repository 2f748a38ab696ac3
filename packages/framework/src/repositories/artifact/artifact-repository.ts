/** The artifact repository's queries. A build never changes; that it is withdrawn lies beside it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
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

type BuildKey = Pick<Selectable<ArtifactTable>, 'name' | 'version' | 'platform'>;

/** Builds read at once: some milliseconds. */
const PAGE = 100;

export function createArtifactRepository(db: Db): ArtifactRepository {
  const buildsOf = (tenant: Tenant) =>
    db
      .selectFrom('artifacts')
      .selectAll()
      .where('tenant', '=', tenant)
      .orderBy('name')
      .orderBy('version_order', 'desc')
      .orderBy('platform');

  const buildsAfter = (tenant: Tenant, last: BuildKey | undefined) => {
    if (!last) return buildsOf(tenant);
    const { name, version, platform } = last;
    const order = versionOrder(version);
    // The first condition adds nothing but the way into the index.
    return buildsOf(tenant)
      .where('name', '>=', name)
      .where((eb) =>
        eb.or([
          eb('name', '>', name),
          eb.and([eb('name', '=', name), eb('version_order', '<', order)]),
          eb.and([eb('name', '=', name), eb('version_order', '=', order), eb('platform', '>', platform)]),
        ]),
      );
  };

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
      const query = buildsAfter(tenant, after && { name: after[0], version: after[1], platform: after[2] })
        .$if(name !== undefined, (some) => some.where('name', '=', name ?? ''))
        .limit(limit + 1);
      return toPage(
        await query.execute(),
        limit,
        CURSOR,
        (row) => [row.name, row.version, row.platform] as const,
        toArtifact,
      );
    },
    async all(tenant) {
      const artifacts: Artifact[] = [];
      let last: BuildKey | undefined;
      do {
        const rows = await buildsAfter(tenant, last).limit(PAGE).execute();
        for (const row of rows) artifacts.push(toArtifact(row));
        last = rows.length === PAGE ? rows.at(-1) : undefined;
        await nextTurn();
      } while (last !== undefined);
      return artifacts;
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
    async segmentUsers(sha256s) {
      if (sha256s.length === 0) return [];
      const rows = await db
        .selectFrom('artifact_segments')
        .innerJoin('artifacts', (join) =>
          join
            .onRef('artifacts.tenant', '=', 'artifact_segments.tenant')
            .onRef('artifacts.name', '=', 'artifact_segments.name')
            .onRef('artifacts.version', '=', 'artifact_segments.version')
            .onRef('artifacts.platform', '=', 'artifact_segments.platform'),
        )
        .selectAll('artifacts')
        .select('artifact_segments.sha256')
        .where('artifact_segments.sha256', 'in', sha256s)
        .execute();
      return rows.flatMap((row) => {
        const artifact = toArtifact(row);
        return artifact.segments
          .filter((segment) => segment.sha256 === row.sha256)
          .map((segment) => ({ tenant: row.tenant, artifact, segment }));
      });
    },
    async segmentDigests(after, limit) {
      let query = db.selectFrom('artifact_segments').select('sha256').distinct().orderBy('sha256').limit(limit);
      if (after !== undefined) query = query.where('sha256', '>', after);
      return (await query.execute()).map(({ sha256 }) => sha256);
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
