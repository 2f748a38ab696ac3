/** One SQLite connection of node:sqlite as Kysely wants it, with its prepared statements kept. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { LeonoreError } from '@leonore/protocol';
import type { SqliteDatabase, SqliteStatement } from 'kysely';

/** SQLite's result code for a disk without space (sqlite.org/rescode.html). */
const SQLITE_FULL = 13;

export function openConnection(file: string, pragmas: readonly string[]): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 5000, enableForeignKeyConstraints: true });
  try {
    for (const pragma of pragmas) database.exec(`pragma ${pragma}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Statements are kept by their text, the least recently used go first. */
export function toKyselyDatabase(database: DatabaseSync, options: { keptStatements: number }): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    close() {
      statements.clear();
      if (database.isOpen) database.close();
    },
    prepare(sql) {
      if (!database.isOpen)
        throw new LeonoreError('server.stopping', 'the database is closed; this node is shutting down');
      const known = statements.get(sql);
      const statement = known ?? toKyselyStatement(database.prepare(sql));
      statements.delete(sql);
      statements.set(sql, statement);
      if (statements.size > options.keptStatements) {
        const [oldest] = statements.keys();
        if (oldest !== undefined) statements.delete(oldest);
      }
      return statement;
    },
  };
}

function toKyselyStatement(statement: StatementSync): SqliteStatement {
  return {
    // Also true for what ends in RETURNING.
    reader: statement.columns().length > 0,
    all: (parameters) => told(() => statement.all(...(parameters as SQLInputValue[]))),
    run: (parameters) => told(() => statement.run(...(parameters as SQLInputValue[]))),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  };
}

function told<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw explainSqlite(error);
  }
}

/** What an operator can do something about, said so. */
export function explainSqlite(error: unknown): unknown {
  if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_FULL) {
    return new LeonoreError(
      'storage.full',
      'the disk that holds the database is full; free some space there and try again',
      { cause: error },
    );
  }
  return error;
}
