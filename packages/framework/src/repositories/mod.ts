/**
 * The repositories: artifacts, packages, gateways, rollouts and the blob store, behind interfaces (contract.ts) that hide
 * which database and which store is under them. Knows nobody else in the framework.
 */

export { type FileBlobOptions, openFileBlobs } from './blobs/fs.ts';
export * from './contract.ts';
export { openPostgresRepositories, type PostgresOptions } from './drivers/postgres.ts';
export { openSqliteRepositories, type SqliteOptions } from './drivers/sqlite.ts';
export { openRepositories } from './open.ts';
