/**
 * The profiler: what this gateway is and has, as the framework needs it to resolve, to compose and to show. What costs
 * something (programs asked for their version, own scripts) is found by `refresh` and kept; the rest is looked at each
 * time. `overrides` (RFC 7396) come last, so that one machine can play several. Leaves to others: when it is sent.
 */
import { hostname } from 'node:os';
import zlib from 'node:zlib';
import {
  capabilityVersionSchema,
  EMPTY_PROFILE,
  type Facts,
  type GatewayProfile,
  gatewayProfileSchema,
  type InstalledComponent,
  type Labels,
  mergePatch,
  type Strategy,
} from '@leonore/protocol';
import { createCapabilityFinder, PROBES, type Probe } from './capabilities.ts';
import type { FactsFolder } from './facts-folder.ts';
import { readFigures } from './figures.ts';
import { type MachineFacts, machineFacts } from './machine.ts';
import { findNetwork, type ReadInterfaces } from './network.ts';
import { type SystemFiles, systemFiles } from './system-files.ts';

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
  /** Capabilities that others know of: what can run applications here. */
  readonly executors?: () => Promise<Readonly<Record<string, string>>>;
  readonly facts?: FactsFolder | undefined;
  /** Tells what tells this machine from all others: serial number, MAC addresses. */
  readonly hardwareIds?: boolean | undefined;
  /** See `clock.offset`. */
  readonly clockOffset?: () => number | undefined;
  /** For tests. */
  readonly files?: SystemFiles;
  readonly interfaces?: ReadInterfaces;
}

export interface Profiler {
  /** Looks again at what costs something. Never rejects. */
  refresh(signal?: AbortSignal): Promise<void>;
  /** The first refresh is waited for, but not long for own scripts: what they say comes later. */
  profile(): Promise<GatewayProfile>;
}

interface Known {
  readonly machine: MachineFacts;
  readonly capabilities: Readonly<Record<string, string>>;
}

/** A refresh under way. */
interface Looking {
  readonly known: Promise<Known>;
  readonly facts: Promise<void>;
}

const FIRST_FACTS_MS = 3000;
const EXECUTORS_MS = 10_000;

export function createProfiler(options: ProfilerOptions): Profiler {
  const { files = systemFiles(), hardwareIds = false, overrides = {} } = options;
  const capabilities = createCapabilityFinder({ probes: options.probes ?? PROBES });
  let known: Known | undefined;
  let executors: Readonly<Record<string, string>> = {};
  let facts: Facts = {};
  let first: Looking | undefined;

  const findExecutors = async (): Promise<Readonly<Record<string, string>> | undefined> => {
    const all = await options.executors?.().catch(() => undefined);
    const said = Object.entries(all ?? {}).filter(([, version]) => capabilityVersionSchema.safeParse(version).success);
    return all && Object.fromEntries(said);
  };
  const findKnown = async (signal?: AbortSignal): Promise<Known> => {
    const [machine, environments, answer] = await Promise.all([
      machineFacts(files, { hardwareIds }),
      capabilities.find(signal),
      within(EXECUTORS_MS, findExecutors()),
    ]);
    // No answer in time is none.
    executors = answer ?? executors;
    const found = { machine, capabilities: { ...environments, ...executors } };
    // Cut short, it has found less than there is.
    if (known && signal?.aborted) return known;
    return (known = found);
  };
  const findFacts = async (signal?: AbortSignal): Promise<void> => {
    const found = (await options.facts?.read(signal)) ?? {};
    if (!signal?.aborted) facts = found;
  };
  const look = (signal?: AbortSignal): Looking => ({ known: findKnown(signal), facts: findFacts(signal) });

  return {
    async refresh(signal) {
      const looking = look(signal);
      first ??= looking;
      await Promise.allSettled([looking.known, looking.facts]);
    },
    async profile() {
      first ??= look();
      const { machine, capabilities: able } = known ?? (await first.known);
      await within(FIRST_FACTS_MS, first.facts);
      const [network, figures] = await Promise.all([
        findNetwork(files, { hardwareIds, ...(options.interfaces ? { read: options.interfaces } : {}) }),
        readFigures(files, { root: options.root, clockOffset: options.clockOffset?.() }),
      ]);
      const found: GatewayProfile = {
        ...EMPTY_PROFILE,
        agent: { name: 'leonore-agent', version: options.version },
        hostname: hostname().slice(0, 255),
        ...(overrides.arch === undefined ? machine : ofAnotherArch(machine)),
        ...figures,
        network,
        capabilities: able,
        // Node before 22.15 has no zstd.
        ...('createZstdDecompress' in zlib
          ? { encodings: ['zstd', 'gzip'], deltas: ['zstd'] }
          : { encodings: ['gzip'] }),
        strategies: [...options.strategies],
        installed: [...options.installed()],
        labels: options.labels,
        ...(Object.keys(facts).length === 0 ? {} : { facts }),
      };
      return gatewayProfileSchema.parse(mergePatch(found, overrides));
    },
  };
}

/** Who plays another architecture does not run what this machine runs beside its own, nor has its processor. */
function ofAnotherArch({ compatibleArchs: _, cpu, ...machine }: MachineFacts): MachineFacts {
  return { ...machine, ...(cpu ? { cpu: { cores: cpu.cores } } : {}) };
}

/** What comes within this time. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, time]);
  } finally {
    clearTimeout(timer);
  }
}
