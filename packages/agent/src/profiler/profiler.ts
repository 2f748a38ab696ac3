/**
 * The profiler: what this gateway is and has, as the framework needs it to resolve, to compose and to show. Facts that
 * cost something are found once; the rest each time. `overrides` (RFC 7396) come last, so that one machine can play several.
 * Leaves to others: when it is sent.
 */
import {
  EMPTY_PROFILE,
  type GatewayProfile,
  gatewayProfileSchema,
  type InstalledComponent,
  type Labels,
  mergePatch,
  type Strategy,
} from '@leonore/protocol';
import { findCapabilities, PROBES, type Probe } from './capabilities.ts';
import { machineFacts } from './platform.ts';

export interface ProfilerOptions {
  /** The agent's folder: its file system is the disk that counts. */
  readonly root: string;
  readonly version: string;
  readonly labels: Labels;
  readonly strategies: readonly Strategy[];
  /** A merge patch over what was found. */
  readonly overrides?: Partial<GatewayProfile> | undefined;
  readonly installed: () => readonly InstalledComponent[];
  readonly probes?: readonly Probe[];
}

export interface Profiler {
  profile(): Promise<GatewayProfile>;
}

export function createProfiler(options: ProfilerOptions): Profiler {
  let capabilities: Promise<Record<string, string>> | undefined;
  return {
    async profile() {
      capabilities ??= findCapabilities(options.probes ?? PROBES);
      const { compatibleArchs, ...facts } = await machineFacts(options.root);
      // Who plays another architecture does not run what this machine runs beside its own.
      const declared = options.overrides?.arch === undefined && compatibleArchs ? { compatibleArchs } : {};
      const found: GatewayProfile = {
        ...EMPTY_PROFILE,
        agent: { name: 'leonore-agent', version: options.version },
        ...facts,
        ...declared,
        capabilities: await capabilities,
        encodings: ['zstd', 'gzip'],
        strategies: [...options.strategies],
        installed: [...options.installed()],
        labels: options.labels,
        reportedAt: Date.now(),
      };
      return gatewayProfileSchema.parse(mergePatch(found, options.overrides ?? {}));
    },
  };
}

/** Free memory and disk move all the time: they travel with other news, but are none. */
export function newsOf(profile: GatewayProfile): unknown {
  const { reportedAt: _reportedAt, memory, disk, ...rest } = profile;
  return { ...rest, memory: memory?.total, disk: disk?.total };
}

/** RFC 7396: what turns `before` into `after`. Lists are replaced whole. */
export function diffPatch(before: unknown, after: unknown): unknown {
  if (!isRecord(before) || !isRecord(after)) return after;
  const patch: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (after[key] === undefined) patch[key] = null;
    else if (JSON.stringify(before[key]) !== JSON.stringify(after[key]))
      patch[key] = diffPatch(before[key], after[key]);
  }
  return patch;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
