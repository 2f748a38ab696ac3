/** The words both sides exchange: schemas, ids, error codes, topic names. No I/O. */
export * from './api.ts';
export * from './artifact.ts';
export * from './ddi.ts';
export * from './errors.ts';
export * from './graph.ts';
export * from './ids.ts';
export * from './package-manifest.ts';
export * from './plan.ts';
export * from './problem.ts';
export * from './profile.ts';
export * from './rollout.ts';
export * from './selector.ts';
export * from './task.ts';
export * from './topics.ts';
