/** Who plays in the demo: three real agents on this machine that pass for different ones, and twenty simulated gateways. */
import type { GatewayProfile, Labels, Strategy } from '@leonore/protocol';

export interface RealGateway {
  readonly id: string;
  readonly strategy: Strategy;
  readonly labels: Labels;
  /** A merge patch over what the agent finds. */
  readonly override?: unknown;
}

export const REAL_GATEWAYS: readonly RealGateway[] = [
  { id: 'workshop', strategy: 'push', labels: { site: 'vienna', kind: 'agent' } },
  // Plays a machine without Java: it gets the runtime along with what needs one.
  {
    id: 'boiler-room',
    strategy: 'push',
    labels: { site: 'graz', kind: 'agent' },
    override: { hostname: 'boiler-room', capabilities: { java: null } },
  },
  {
    id: 'roof',
    strategy: 'pull',
    labels: { site: 'linz', kind: 'agent' },
    override: { hostname: 'roof', capabilities: { java: null }, encodings: ['gzip'] },
  },
];

const SITES = ['vienna', 'graz', 'linz', 'salzburg'] as const;
const ARCHITECTURES = ['arm64', 'arm', 'x64'] as const;
const pick = <T>(of: readonly T[], index: number): T => of[index % of.length] as T;

export interface SimulatedFleet {
  readonly idPrefix: string;
  readonly strategy: Strategy;
  readonly count: number;
}

export const SIMULATED_FLEETS: readonly SimulatedFleet[] = [
  { idPrefix: 'pull', strategy: 'pull', count: 10 },
  { idPrefix: 'push', strategy: 'push', count: 10 },
];

export const GATEWAY_COUNT = REAL_GATEWAYS.length + SIMULATED_FLEETS.reduce((sum, fleet) => sum + fleet.count, 0);

/** A small device of one of several kinds. */
export function simulatedProfile(index: number): Partial<GatewayProfile> {
  return {
    os: 'linux',
    arch: pick(ARCHITECTURES, index),
    libc: index % 5 === 4 ? 'musl' : 'glibc',
    memory: { total: 256 * 2 ** 20 },
    disk: { total: 2 ** 30, free: 2 ** 29 },
    encodings: index % 2 === 0 ? ['zstd', 'gzip'] : ['gzip'],
    labels: { site: pick(SITES, index), kind: 'simulated' },
  };
}
