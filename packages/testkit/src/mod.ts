/** Real servers and agents for tests. */
export * from './artifacts.ts';
export * from './postgres.ts';
export * from './processes.ts';
export * from './site.ts';
export * from './wait.ts';
