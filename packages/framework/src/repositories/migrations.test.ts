/** Rows of a former version are there after a migration, and mean the same. */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import type { PackageId, Sha256, Tenant } from '@leonore/protocol';
import { startPostgres } from '@leonore/testkit';
import { Kysely, PostgresDialect, SqliteDialect, sql } from 'kysely';
import pg from 'pg';
import { packageRecord, sha, tenantNamed } from './conformance/samples.ts';
import { openConnection, toKyselyDatabase } from './drivers/sqlite-connection.ts';
import { type DialectName, migrate } from './migrations.ts';
import { createRepositorySet } from './repository-set.ts';
import type { Db, Tables } from './schema.ts';

const tenant: Tenant = tenantNamed('tenant');

async function packagesStay(db: Db, dialect: DialectName): Promise<void> {
  await migrate(db, dialect, '0001-first');
  const { summary, manifest } = packageRecord('former', 5000);
  const { format: _format, fileName: _name, ...former } = summary;
  const parts: { sha256: Sha256; length: number }[] = [
    { sha256: sha('header'), length: 20 },
    { sha256: sha('segment'), length: 2 ** 40 - 38 },
    { sha256: sha('trailer'), length: 18 },
  ];
  const row = [tenant, summary.id, summary.sha256, 5000, former, manifest, parts].map((value) =>
    typeof value === 'object' ? JSON.stringify(value) : value,
  );
  await sql`insert into packages (tenant, id, sha256, created_at, summary, manifest, parts) values (${sql.join(row)})`.execute(
    db,
  );

  await migrate(db, dialect);
  const { packages } = createRepositorySet(db);
  assert.deepEqual(await packages.find(tenant, summary.id), {
    summary,
    manifest,
    parts: parts.map((part) => ({ kind: 'blob', ...part })),
    own: Buffer.alloc(0),
    bases: [],
  });
  assert.deepEqual((await packages.list(tenant, { limit: 10 })).items, [summary]);
  const ids: PackageId[] = [summary.id];
  assert.deepEqual([...(await packages.use(tenant, ids, 6000))], ids);
  assert.deepEqual((await packages.unneeded({ until: 6000, limit: 10 })).unneeded, [
    { tenant, id: summary.id, usedAt: 6000 },
  ]);
}

it('packages of the first version stay on SQLite', async () => {
  await using db = new Kysely<Tables>({
    dialect: new SqliteDialect({ database: toKyselyDatabase(openConnection(':memory:', []), { keptStatements: 10 }) }),
  });
  await packagesStay(db, 'sqlite');
});

const server = await startPostgres();
if (server.kind === 'missing') it('packages of the first version stay on PostgreSQL', { skip: server.reason });
else {
  after(() => server[Symbol.asyncDispose]());
  it('packages of the first version stay on PostgreSQL', async () => {
    const types: pg.CustomTypesConfig = {
      getTypeParser: (oid, format) => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)),
    };
    const pool = new pg.Pool({ connectionString: await server.createDatabase(), types });
    // A connection that is closing still hears that the server ends.
    pool.on('error', () => {});
    pool.on('connect', (client) => client.on('error', () => {}));
    await using db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    await packagesStay(db, 'postgres');
  });
}
