/**
 * The driver for more than one node: PostgreSQL. Each write is a serializable transaction of its own, run again when it
 * lost against another: so it behaves as SQLite's writes do, one after the other, whichever node they come from.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { LeonoreError } from '@leonore/protocol';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import type { Repositories, RepositorySet } from '../contract.ts';
import { migrate } from '../migrations.ts';
import { createRepositorySet } from '../repository-set.ts';
import type { Db } from '../schema.ts';

export interface PostgresOptions {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE` */
  readonly url: string;
  readonly maxConnections?: number;
}

const MAX_TRIES = 20;
const MAX_PAUSE_MS = 200;

export async function openPostgresRepositories({ url, maxConnections = 10 }: PostgresOptions): Promise<Repositories> {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: 10_000,
    types: {
      // Times, sizes and counts, all within 2^53.
      getTypeParser: (oid, format) =>
        oid === pg.types.builtins.INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format),
    },
  });
  // A connection that breaks while idle: the pool drops it, and the next query opens another.
  pool.on('error', () => {});
  const db: Db = new Kysely({ dialect: new PostgresDialect({ pool }) });
  let closed = false;
  try {
    await migrate(db, 'postgres');
  } catch (error) {
    await pool.end();
    throw explain(error);
  }

  return {
    read: createRepositorySet(db),
    async write(work) {
      if (closed) throw new LeonoreError('server.stopping', 'the database is closed; this node is shutting down');
      return serialized(db, work);
    },
    async ping() {
      await sql`select 1`.execute(db);
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      await pool.end();
    },
  };
}
async function serialized<T>(db: Db, work: (set: RepositorySet) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await db
        .transaction()
        .setIsolationLevel('serializable')
        .execute((transaction) => work(createRepositorySet(transaction)));
    } catch (error) {
      if (tries === MAX_TRIES || !lostToAnother(error)) throw error;
      await pause(Math.random() * Math.min(MAX_PAUSE_MS, 2 ** tries));
    }
  }
}

/** serialization_failure, deadlock_detected (PostgreSQL, appendix A). */
function lostToAnother(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '40001' || error.code === '40P01');
}

function explain(error: unknown): unknown {
  return error;
}
