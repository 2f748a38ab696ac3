/** Connectivity: the protocols a gateway speaks, without a disk. */
export * from './download-package.ts';
export * from './enrol.ts';
export * from './feedback.ts';
export * from './http-client.ts';
export * from './http-connectivity.ts';
export * from './logger.ts';
export * from './mqtt-connectivity.ts';
export * from './parse-task.ts';
export * from './wait.ts';
