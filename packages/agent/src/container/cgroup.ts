/**
 * Cgroups of version 2: a folder for each application, in which the kernel holds its processes to their limits, also
 * those that leave their group and clear their environment. Made where the agent may: at the top of the hierarchy when
 * it is root (so that a service manager that restarts the agent's own cgroup leaves the applications alone), else beside
 * the agent's own, where a service manager delegates that. The agent itself is never moved.
 * See https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Run } from '@leonore/protocol';

export type Limits = NonNullable<Run['limits']>;

export interface Cgroups {
  /** Makes the application's cgroup and sets its limits. @returns its folder, and the limits that are in force. */
  confine(name: string, limits: Limits): Promise<{ readonly folder: string; readonly limits: Limits }>;
  /** Process ids. */
  members(name: string): Promise<number[]>;
  remove(name: string): Promise<void>;
  /** Takes away the folder of all, when nobody is in it. */
  close(): Promise<void>;
}

export interface CgroupPlace {
  /** Where the hierarchy of version 2 is mounted. */
  readonly mount: string;
  /** The agent's own cgroup, `/` being the mount. */
  readonly own: string;
}

const CONTROLLERS = { cpu: 'cpu', memory: 'memory', processes: 'pids' } as const;
/** Of cpu.max, microseconds. */
const PERIOD_US = 100_000;

/** Undefined where there is no version 2, as on kernels that still run version 1. */
export async function findCgroupPlace(self = '/proc/self'): Promise<CgroupPlace | undefined> {
  const mounts = await readFile(join(self, 'mountinfo'), 'utf8').catch(() => '');
  const groups = await readFile(join(self, 'cgroup'), 'utf8').catch(() => '');
  const own = /^0::(\/.*)$/m.exec(groups)?.[1];
  // 35 24 0:30 /root /mount options - type source superoptions; see proc_pid_mountinfo(5).
  const mount = mounts
    .split('\n')
    .find((line) => / - cgroup2 /.test(line))
    ?.split(' ')[4];
  return own === undefined || mount === undefined ? undefined : { mount, own };
}

/** `group`: the name of the folder that holds those of the applications. Undefined where no limit can be set. */
export async function openCgroups(place: CgroupPlace, group: string, root: boolean): Promise<Cgroups | undefined> {
  const parent = root ? place.mount : join(place.mount, dirname(place.own));
  const base = join(parent, group);
  const wanted = Object.values(CONTROLLERS);
  const there = await words(join(parent, 'cgroup.controllers'));
  const usable = wanted.filter((controller) => there.includes(controller));
  if (usable.length === 0) return undefined;
  const made = await mkdir(base, { recursive: true }).then(
    () => true,
    () => false,
  );
  if (!made) return undefined;
  const inForce: string[] = [];
  for (const controller of usable) {
    if ((await enable(parent, controller)) && (await enable(base, controller))) inForce.push(controller);
  }
  if (inForce.length === 0) {
    await rmdir(base).catch(() => undefined);
    return undefined;
  }

  const folderOf = (name: string): string => join(base, name);
  return {
    async confine(name, limits) {
      const folder = folderOf(name);
      await mkdir(folder, { recursive: true });
      const { cpu, memory, processes } = limits;
      const set = async (file: string, value: string | number): Promise<boolean> =>
        writeFile(join(folder, file), `${value}`).then(
          () => true,
          () => false,
        );
      // What the kernel kills for want of memory it kills whole; older ones do not know that.
      await set('memory.oom.group', 1);
      const done = {
        cpu: await set(
          'cpu.max',
          cpu === undefined ? `max ${PERIOD_US}` : `${Math.ceil(cpu * PERIOD_US)} ${PERIOD_US}`,
        ),
        memory: await set('memory.max', memory ?? 'max'),
        processes: await set('pids.max', processes ?? 'max'),
      };
      const held = Object.entries(limits).filter(
        ([key]) => done[key as keyof Limits] && inForce.includes(CONTROLLERS[key as keyof Limits]),
      );
      return { folder, limits: Object.fromEntries(held) };
    },
    async members(name) {
      return (await words(join(folderOf(name), 'cgroup.procs'))).map(Number);
    },
    async remove(name) {
      // Refused while somebody is in it.
      await rmdir(folderOf(name)).catch(() => undefined);
    },
    async close() {
      await rmdir(base).catch(() => undefined);
    },
  };
}

/** Moves a process in. */
export async function joinCgroup(folder: string, pid: number): Promise<void> {
  await writeFile(join(folder, 'cgroup.procs'), `${pid}`);
}

/** How often the kernel has killed something in there for want of memory. */
export async function oomKills(folder: string): Promise<number> {
  const events = await readFile(join(folder, 'memory.events'), 'utf8').catch(() => '');
  return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
}

/** For the folders below `folder`. Refused where processes are in it, or where somebody else decides. */
async function enable(folder: string, controller: string): Promise<boolean> {
  const file = join(folder, 'cgroup.subtree_control');
  if ((await words(file)).includes(controller)) return true;
  return writeFile(file, `+${controller}`).then(
    () => true,
    () => false,
  );
}

async function words(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).split(/\s+/).filter((word) => word !== '');
}
