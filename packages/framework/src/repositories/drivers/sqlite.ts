/**
 * The embedded driver: SQLite inside the process, through node:sqlite. One connection writes (in shared commits), another
 * reads what is committed (WAL). synchronous=FULL: a commit is on disk before its promise is fulfilled.
 */
import { Kysely, SqliteDialect, sql } from 'kysely';
import type { Repositories } from '../contract.ts';
import { migrate } from '../migrations.ts';
import { createRepositorySet } from '../repository-set.ts';
import type { Db } from '../schema.ts';
import { createGroupCommit } from './group-commit.ts';
import { notNested } from './not-nested.ts';
import { openConnection, toKyselyDatabase } from './sqlite-connection.ts';

export interface SqliteOptions {
  /** Made when it is not there; its folder is not. */
  readonly file: string;
}

export const WRITER_PRAGMAS = ['journal_mode = wal', 'synchronous = full'] as const;
const KEPT_STATEMENTS = 300;
const MAX_WORKS = 500;
const MAX_BATCH_MS = 10;

export async function openSqliteRepositories({ file }: SqliteOptions): Promise<Repositories> {
  const writing = openConnection(file, WRITER_PRAGMAS);
  const writer = kyselyOver(writing);
  const commits = createGroupCommit(writing, { maxWorks: MAX_WORKS, maxMs: MAX_BATCH_MS });
  try {
    await migrate(writer, 'sqlite');
  } catch (error) {
    writing.close();
    throw error;
  }
  const reading = openConnection(file, ['query_only = on']);
  const reader = kyselyOver(reading);
  const set = createRepositorySet(writer);

  return {
    read: createRepositorySet(reader),
    write: notNested((work) => commits.write(() => work(set))),
    async ping() {
      await sql`select 1`.execute(reader);
    },
    async [Symbol.asyncDispose]() {
      await commits[Symbol.asyncDispose]();
      if (reading.isOpen) reading.close();
      // Closed last: it folds the log back into the file.
      if (writing.isOpen) writing.close();
    },
  };
}

function kyselyOver(database: ReturnType<typeof openConnection>): Db {
  return new Kysely({
    dialect: new SqliteDialect({ database: toKyselyDatabase(database, { keptStatements: KEPT_STATEMENTS }) }),
  });
}
