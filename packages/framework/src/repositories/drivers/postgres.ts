/**
 * The driver for more than one node: PostgreSQL. Each write is a transaction of its own on one snapshot (repeatable read),
 * run again when another changed the same rows meanwhile: so of two that read a row and change it, none is lost, whichever
 * nodes they come from. Serializable was tried: it
 * refused most transactions of a rollout, for touching the same pages of an index.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { LeonoreError } from '@leonore/protocol';
import {
  type AbortableOperationOptions,
  type CompiledQuery,
  type DatabaseConnection,
  Kysely,
  PostgresDialect,
  type QueryResult,
  sql,
} from 'kysely';
import pg from 'pg';
import type { Repositories, RepositorySet } from '../contract.ts';
import { migrate } from '../migrations.ts';
import { createRepositorySet } from '../repository-set.ts';
import type { Db } from '../schema.ts';
import { notNested } from './not-nested.ts';
import { explainPostgres, lostToAnother } from './postgres-errors.ts';

export interface PostgresOptions {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE` */
  readonly url: string;
  readonly maxConnections?: number;
}

const MAX_TRIES = 30;
const MAX_PAUSE_MS = 200;
const CONNECT_TIMEOUT_MS = 10_000;

export async function openPostgresRepositories({ url, maxConnections = 10 }: PostgresOptions): Promise<Repositories> {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    types: {
      // Times, sizes and counts, all within 2^53.
      getTypeParser: (oid, format) =>
        oid === pg.types.builtins.INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format),
    },
  });
  // A connection that breaks between two queries: the next query says so, or the pool opens another. Unheard, it would end
  // the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const connecting = createUnderWay();
  const writing = createUnderWay();
  const db: Db = new Kysely({ dialect: createDialect(pool, connecting) });

  async function close(): Promise<void> {
    await writing.close();
    // A pool that ends forgets those who wait for a connection.
    await connecting.close();
    if (!pool.ending) await pool.end();
  }
  try {
    await migrate(db, 'postgres');
  } catch (error) {
    await close();
    throw error;
  }

  return {
    read: createRepositorySet(db),
    write: notNested((work) => writing.run(() => inTransaction(db, work))),
    async ping() {
      await sql`select 1`.execute(db);
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Kysely's dialect whose errors say what an operator can do. */
function createDialect(pool: pg.Pool, connecting: UnderWay): PostgresDialect {
  return new PostgresDialect({
    pool: {
      options: pool.options,
      end: () => pool.end(),
      connect: () => connecting.run(() => pool.connect().catch(explainPostgres)),
    },
    onCreateConnection(connection: DatabaseConnection) {
      const execute = connection.executeQuery.bind(connection);
      connection.executeQuery = async <R>(query: CompiledQuery, options?: AbortableOperationOptions) =>
        (await execute(query, options).catch(explainPostgres)) as QueryResult<R>;
      return Promise.resolve();
    },
  });
}

/** What is under way is waited for at the end; nothing new begins then. */
interface UnderWay {
  run<T>(begin: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

function createUnderWay(): UnderWay {
  const all = new Set<Promise<unknown>>();
  let closed = false;
  return {
    async run(begin) {
      if (closed) throw new LeonoreError('server.stopping', 'the database is closed; this node is shutting down');
      const one = begin();
      all.add(one);
      try {
        return await one;
      } finally {
        all.delete(one);
      }
    },
    async close() {
      closed = true;
      await Promise.allSettled(all);
    },
  };
}

async function inTransaction<T>(db: Db, work: (set: RepositorySet) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute((transaction) => work(createRepositorySet(transaction)));
    } catch (error) {
      if (tries === MAX_TRIES || !lostToAnother(error)) throw error;
      // Full jitter, so that those who met once do not meet again.
      await pause(Math.random() * Math.min(MAX_PAUSE_MS, 2 ** tries));
    }
  }
}
