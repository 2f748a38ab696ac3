/** Chooses the driver by what it is given. */
import type { Repositories } from './contract.ts';
import { openPostgresRepositories } from './drivers/postgres.ts';
import { openSqliteRepositories } from './drivers/sqlite.ts';

/** `postgres://...` opens PostgreSQL, anything else is the path of an SQLite file. */
export function openRepositories(urlOrFile: string): Promise<Repositories> {
  return /^postgres(ql)?:\/\//.test(urlOrFile)
    ? openPostgresRepositories({ url: urlOrFile })
    : openSqliteRepositories({ file: urlOrFile });
}
