/**
 * Brings a database to the present schema. A migration that was published never changes; a new one is added below it.
 * The dialects differ in a few words only: how a number counts itself up, how wide an integer is, what bytes are called, how
 * text is compared (PostgreSQL by the locale unless told otherwise, SQLite by bytes: lists and cursors need bytes).
 */
import { LeonoreError } from '@leonore/protocol';
import { type CreateTableBuilder, type Kysely, type RawBuilder, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import type { Db } from './schema.ts';

export type DialectName = 'sqlite' | 'postgres';

/** `to`: no further than this migration; for tests of those that come after it. */
export async function migrate(db: Db, dialect: DialectName, to?: string): Promise<void> {
  const migrator = new Migrator({
    db,
    provider: {
      getMigrations: () =>
        Promise.resolve({
          '0001-first': firstMigration(dialect),
          '0002-formats': formatsMigration(dialect),
          '0003-task-facts': taskFactsMigration(dialect),
          '0004-handling': handlingMigration(dialect),
        }),
    },
  });
  const { error } = to === undefined ? await migrator.migrateToLatest() : await migrator.migrateTo(to);
  if (error instanceof LeonoreError) throw error;
  if (error !== undefined) throw new Error('the database could not be brought to the present schema', { cause: error });
}

interface Words {
  readonly text: RawBuilder<unknown>;
  readonly integer: RawBuilder<unknown>;
  readonly counting: RawBuilder<unknown>;
  readonly bytes: RawBuilder<unknown>;
  readonly noBytes: RawBuilder<unknown>;
  /** What follows the closing bracket of a table. */
  readonly end: RawBuilder<unknown>;
  readonly endOfNarrowTable: RawBuilder<unknown>;
}

const WORDS: Record<DialectName, Words> = {
  sqlite: {
    text: sql`text`,
    integer: sql`integer`,
    // AUTOINCREMENT: a number is never given again, not even after its row is gone.
    counting: sql`integer primary key autoincrement`,
    bytes: sql`blob`,
    noBytes: sql`x''`,
    end: sql`strict`,
    endOfNarrowTable: sql`strict, without rowid`,
  },
  postgres: {
    text: sql`text collate "C"`,
    integer: sql`bigint`,
    counting: sql`integer generated always as identity primary key`,
    bytes: sql`bytea`,
    noBytes: sql`''`,
    end: sql``,
    endOfNarrowTable: sql``,
  },
};

function firstMigration(dialect: DialectName): Migration {
  const { text, integer, counting, end, endOfNarrowTable } = WORDS[dialect];
  return {
    async up(db: Kysely<unknown>) {
      const table = (name: string) => tableBuilder(db, name, { text, integer, counting });
      const index = (name: string, on: string, columns: string[]) =>
        db.schema.createIndex(name).on(on).columns(columns);

      await table('counters').texts('tenant', 'name').integers('value').key('tenant', 'name').create(end);

      await table('artifacts')
        .texts('tenant', 'name', 'version', 'platform', 'version_order', 'content_sha256', 'artifact')
        .optionalIntegers('withdrawn_at')
        .optionalTexts('withdrawn_reason')
        .key('tenant', 'name', 'version', 'platform')
        .create(end);
      await index('artifacts_by_version', 'artifacts', ['tenant', 'name', 'version_order', 'platform']).execute();
      await table('artifact_files')
        .texts('tenant', 'content_sha256', 'files')
        .key('tenant', 'content_sha256')
        .create(end);
      await table('artifact_segments')
        .texts('sha256', 'tenant', 'name', 'version', 'platform')
        .key('sha256', 'tenant', 'name', 'version', 'platform')
        .create(endOfNarrowTable);

      await table('packages')
        .texts('tenant', 'id', 'sha256')
        .integers('created_at')
        .texts('summary', 'manifest', 'parts')
        .optionalTexts('hashes')
        .key('tenant', 'id')
        .create(end);
      await index('packages_by_digest', 'packages', ['sha256']).execute();
      await index('packages_by_time', 'packages', ['tenant', 'created_at', 'id']).execute();

      await table('gateways')
        .texts('tenant', 'id')
        .optionalTexts('token_hash')
        .texts('origin')
        .integers('enrolled_at')
        .optionalIntegers('last_seen_at')
        .optionalTexts('connected_node')
        .texts('labels', 'desired', 'profile')
        .key('tenant', 'id')
        .create(end);
      await index('gateways_by_node', 'gateways', ['connected_node'])
        .where(sql.ref('connected_node'), 'is not', null)
        .execute();
      await table('gateway_facts')
        .texts('tenant', 'gateway_id', 'key', 'value')
        .key('tenant', 'gateway_id', 'key')
        .create(endOfNarrowTable);
      await index('gateway_facts_by_value', 'gateway_facts', ['tenant', 'key', 'value', 'gateway_id']).execute();

      await table('enrolment_tokens')
        .texts('tenant', 'id', 'token_hash')
        .integers('uses_left')
        .texts('labels')
        .integers('created_at', 'expires_at')
        .key('tenant', 'id')
        .create(end);
      await index('enrolment_tokens_by_hash', 'enrolment_tokens', ['tenant', 'token_hash']).unique().execute();

      await table('rollouts')
        .texts('tenant')
        .integers('id')
        .texts('state', 'applications', 'remove', 'selector', 'strategy', 'deadlines')
        .integers('upgrade')
        .optionalTexts('plan_cursor')
        .integers('planned')
        .texts('blockers')
        .integers('created_at')
        .optionalIntegers('ended_at')
        .key('tenant', 'id')
        .create(end);
      await index('rollouts_by_state', 'rollouts', ['state']).execute();

      await table('tasks')
        .counted('id')
        .texts('tenant')
        .integers('rollout')
        .texts('gateway', 'state', 'strategy')
        .optionalTexts('delivered_by')
        .texts('class_key')
        .optionalTexts('package')
        .integers('canceling', 'created_at', 'updated_at')
        .optionalIntegers('ended_at', 'deadline_at')
        .optionalTexts('message')
        .create(end);
      const ended = sql.ref('ended_at');
      // At most one active task for each rollout and gateway.
      await index('tasks_active_once', 'tasks', ['tenant', 'rollout', 'gateway'])
        .unique()
        .where(ended, 'is', null)
        .execute();
      await index('tasks_active', 'tasks', ['tenant', 'gateway', 'id']).where(ended, 'is', null).execute();
      await index('tasks_due', 'tasks', ['deadline_at']).where(ended, 'is', null).execute();
      await index('tasks_by_gateway', 'tasks', ['tenant', 'gateway', 'id']).execute();
      await index('tasks_by_rollout', 'tasks', ['tenant', 'rollout', 'id']).execute();
      await index('tasks_of_rollout', 'tasks', ['tenant', 'rollout', 'gateway', 'state']).execute();

      await table('task_transitions')
        .counted('id')
        .texts('tenant')
        .integers('task')
        .texts('state')
        .integers('at')
        .texts('messages')
        .create(end);
      await index('task_transitions_by_task', 'task_transitions', ['tenant', 'task', 'id']).execute();
    },
  };
}

/** Packages of several formats, with bytes of their own in the row; when each was used last. Deltas. */
function formatsMigration(dialect: DialectName): Migration {
  const { text, integer, counting, bytes, noBytes, endOfNarrowTable } = WORDS[dialect];
  return {
    async up(db: Kysely<unknown>) {
      const add = (column: string, type: RawBuilder<unknown>, value: RawBuilder<unknown>) =>
        db.schema
          .alterTable('packages')
          .addColumn(column, type, (definition) => definition.notNull().defaultTo(value))
          .execute();
      await add('bases', text, sql`'[]'`);
      await add('own', bytes, noBytes);
      await tableBuilder(db, 'package_uses', { text, integer, counting })
        .texts('tenant', 'id')
        .integers('used_at')
        .key('tenant', 'id')
        .create(endOfNarrowTable);
      await db.schema.createIndex('tasks_by_package').on('tasks').columns(['tenant', 'package']).execute();
      await convertPackages(db);
      await tableBuilder(db, 'deltas', { text, integer, counting })
        .texts('from_sha256', 'to_sha256', 'state')
        .optionalTexts('sha256')
        .integers('size', 'from_size', 'to_size', 'made_at', 'used_at')
        .key('from_sha256', 'to_sha256')
        .create(endOfNarrowTable);
      await db.schema.createIndex('deltas_by_digest').on('deltas').column('sha256').execute();
      await db.schema.createIndex('deltas_by_use').on('deltas').column('used_at').execute();
      await db.schema.createIndex('artifacts_by_content').on('artifacts').column('content_sha256').execute();
    },
  };
}

/** What gateways say of tasks in facts, beside the words. */
function taskFactsMigration(dialect: DialectName): Migration {
  return {
    async up(db: Kysely<unknown>) {
      await db.schema.alterTable('task_transitions').addColumn('facts', WORDS[dialect].text).execute();
    },
  };
}

/** How rollouts are handled, what tasks wait for beside their state, what DDI knows of a gateway. */
function handlingMigration(dialect: DialectName): Migration {
  const { text, integer } = WORDS[dialect];
  return {
    async up(db: Kysely<unknown>) {
      await db.schema.alterTable('rollouts').addColumn('handling', text).execute();
      await db.schema.alterTable('tasks').addColumn('condition', text).execute();
      await db.schema.alterTable('gateways').addColumn('auto_confirm', text).execute();
      await db.schema
        .alterTable('gateways')
        .addColumn('attributes_known', integer, (definition) => definition.notNull().defaultTo(sql`0`))
        .execute();
    },
  };
}

/** Packages as the first migration left them. */
interface FirstPackages {
  packages: { tenant: string; id: string; created_at: number; summary: string; parts: string };
  package_uses: { tenant: string; id: string; used_at: number };
}

/** Header and trailer of these stay the blobs they are. */
async function convertPackages(db: Kysely<FirstPackages>): Promise<void> {
  const rows = await db.selectFrom('packages').select(['tenant', 'id', 'created_at', 'summary', 'parts']).execute();
  for (const { tenant, id, created_at, ...row } of rows) {
    const summary = JSON.parse(row.summary) as { encoding: string };
    const format = summary.encoding === 'gzip' ? 'tar.gz' : 'tar.zst';
    const parts = (JSON.parse(row.parts) as object[]).map((part) => ({ kind: 'blob', ...part }));
    await db
      .updateTable('packages')
      .set({
        summary: JSON.stringify({ ...summary, format, fileName: `${id}.${format}` }),
        parts: JSON.stringify(parts),
      })
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .execute();
    await db.insertInto('package_uses').values({ tenant, id, used_at: created_at }).execute();
  }
}

/** Columns by kind, so that a table reads as a list of names. */
function tableBuilder(db: Kysely<unknown>, name: string, words: Pick<Words, 'text' | 'integer' | 'counting'>) {
  let builder: CreateTableBuilder<string, string> = db.schema.createTable(name);
  const add = (columns: string[], type: RawBuilder<unknown>, optional: boolean) => {
    for (const column of columns) {
      builder = builder.addColumn(column, type, (definition) => (optional ? definition : definition.notNull()));
    }
    return self;
  };
  const self = {
    texts: (...columns: string[]) => add(columns, words.text, false),
    optionalTexts: (...columns: string[]) => add(columns, words.text, true),
    integers: (...columns: string[]) => add(columns, words.integer, false),
    optionalIntegers: (...columns: string[]) => add(columns, words.integer, true),
    counted: (column: string) => add([column], words.counting, true),
    key(...columns: string[]) {
      builder = builder.addPrimaryKeyConstraint(`${name}_key`, columns);
      return self;
    },
    create: (end: RawBuilder<unknown>) => builder.modifyEnd(end).execute(),
  };
  return self;
}
