/** The gateway side of LEONORE: the agent, and its protocol code without a disk for the fleet simulator. */
export * from './agent/mod.ts';
export * from './command-line/mod.ts';
export * from './connectivity/mod.ts';
