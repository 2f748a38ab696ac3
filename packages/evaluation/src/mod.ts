/** Evaluation: the fleet simulator. Benchmarks stand beside it in bench/ and are programs of their own. */
export { type Fleet, type FleetOptions, type FleetStats, simulateFleet } from './fleet/fleet.ts';
export type { TaskEnd, TaskOutcome, VirtualGateway } from './fleet/virtual-gateway.ts';
