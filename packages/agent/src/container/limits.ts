/**
 * Holds processes to the limits of their manifest: by a cgroup where there is one for it, else by resource limits
 * (setrlimit(2)) that the launching shell sets and all processes inherit. Those know no share of a processor, count
 * memory for each process by itself, and count processes by user. Says which of it is in force.
 */
import { formatBytes } from '@leonore/protocol';
import { type Cgroups, joinCgroup, type Limits, oomKills } from './cgroup.ts';
import type { Ending, LimitsInForce } from './executors/executor.ts';

export interface Confinement {
  readonly limits: LimitsInForce;
  /** To be awaited with the process's id before it begins. */
  readonly enter: ((pid: number) => Promise<void>) | undefined;
  /** Commands for the launching shell. */
  readonly shell: readonly string[];
  /** What the limits have to do with that end, in words. */
  fault(ending: Ending): Promise<string | undefined>;
}

export interface Limiter {
  /** Undefined when nothing is asked for. */
  confine(name: string, limits: Limits | undefined, user: number | undefined): Promise<Confinement | undefined>;
  /** The same for what runs already, since a former agent may have known less. @returns which limits are in force. */
  adopt(
    name: string,
    limits: Limits | undefined,
    user: number | undefined,
    pid: number,
  ): Promise<LimitsInForce | undefined>;
  /** Ids of all processes that are held together with the application. */
  members(name: string): Promise<number[]>;
  release(name: string): Promise<void>;
}

export function createLimiter(findCgroups: () => Promise<Cgroups | undefined>): Limiter {
  let cgroups: Promise<Cgroups | undefined> | undefined;
  const found = (): Promise<Cgroups | undefined> => (cgroups ??= findCgroups());
  return {
    async confine(name, limits, user) {
      if (!limits || Object.keys(limits).length === 0) return undefined;
      const groups = await found();
      if (!groups) return byResourceLimits(limits, user);
      const { folder, limits: held } = await groups.confine(name, limits);
      const killsBefore = await oomKills(folder);
      return {
        limits: { by: 'cgroup', ...held },
        enter: (pid) => joinCgroup(folder, pid),
        shell: [],
        async fault({ signal }) {
          if (signal !== 'SIGKILL' || (await oomKills(folder)) === killsBefore) return undefined;
          return `more memory than its limit of ${formatBytes(held.memory ?? 0)}`;
        },
      };
    },
    async adopt(name, limits, user, pid) {
      if (!limits || Object.keys(limits).length === 0) return undefined;
      const groups = await found();
      if (!groups) return byResourceLimits(limits, user).limits;
      const { folder, limits: held } = await groups.confine(name, limits);
      if (!(await groups.members(name)).includes(pid)) await joinCgroup(folder, pid);
      return { by: 'cgroup', ...held };
    },
    members: async (name) => (await found())?.members(name) ?? [],
    release: async (name) => (await found())?.remove(name),
  };
}

/** What can be had is set for good: neither the shell nor the application can raise it again. */
function byResourceLimits({ memory, processes }: Limits, user: number | undefined): Confinement {
  const kib = memory === undefined ? undefined : Math.ceil(memory / 1024);
  // Processes are counted by user, so only one that has a user of its own can be held to a number.
  const count = user === undefined ? undefined : processes;
  const held = {
    ...(kib === undefined ? {} : { memory }),
    ...(count === undefined ? {} : { processes: count }),
  };
  return {
    limits: { by: Object.keys(held).length === 0 ? 'none' : 'rlimit', ...held },
    enter: undefined,
    // Where the agent itself has a stricter one, that stays. dash says -p for what others call -u.
    shell: [
      ...(kib === undefined ? [] : [`ulimit -d ${kib} 2>/dev/null`]),
      ...(count === undefined ? [] : [`ulimit -u ${count} 2>/dev/null || ulimit -p ${count} 2>/dev/null`]),
    ],
    fault: () => Promise.resolve(undefined),
  };
}

/** What was asked for and is not in force: `cpu 0.5, processes 50`; undefined when all is. */
export function limitsInVain(asked: Limits | undefined, inForce: LimitsInForce | undefined): string | undefined {
  const missing = Object.entries(asked ?? {}).filter(
    ([key, value]) => value !== undefined && inForce?.[key as keyof Limits] === undefined,
  );
  if (missing.length === 0) return undefined;
  return missing.map(([key, value]) => `${key} ${key === 'memory' ? formatBytes(value) : value}`).join(', ');
}
