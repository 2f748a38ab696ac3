/**
 * Which processes belong to an application, read from /proc. A process is the application's when its environment names
 * the application's data folder (children inherit it, also those that leave the process group), when it has the user id
 * that the application alone has, or when it is in the group of such a process. A pid alone proves nothing: it is taken
 * together with its start time and the boot it was in.
 */
import { readdir, readFile } from 'node:fs/promises';
import { sleep } from '../connectivity/mod.ts';

export interface ProcessInfo {
  readonly pid: number;
  readonly group: number;
  /** Clock ticks from boot to its start. */
  readonly startTime: string;
}
export interface MarkedProcess extends ProcessInfo {
  /** The control script that it is, or comes from. One that is known by its user only counts to `start`. */
  readonly script: string | undefined;
  readonly version: string | undefined;
  /** The version folder's binary folder: tells two builds of one version apart. */
  readonly binaryDir: string | undefined;
}

/** Undefined when there is none, or only what is left of one (a zombie). */
export async function readProcess(pid: number): Promise<ProcessInfo | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // pid (command, which may hold anything) state ppid pgrp ... starttime is field 22, see proc_pid_stat(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, , group] = fields;
  const startTime = fields[19];
  if (stat === '' || state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, group: Number(group), startTime };
}

async function listProcesses(): Promise<ProcessInfo[]> {
  const names = await readdir('/proc').catch(() => []);
  const found = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map((name) => readProcess(Number(name))));
  return found.filter((info) => info !== undefined);
}

/** The processes of the application whose data folder this is, oldest first. `user`: the id that only it has. */
export async function findMarked(dataDir: string, user?: number): Promise<MarkedProcess[]> {
  const marked = await Promise.all(
    (await listProcesses()).map(async (info): Promise<MarkedProcess[]> => {
      if (info.pid === process.pid) return [];
      const environ = await readFile(`/proc/${info.pid}/environ`, 'latin1').catch(() => '');
      const variables = environ.split('\0');
      if (!variables.includes(`LEONORE_DATA_DIR=${dataDir}`)) {
        if (user === undefined || (await userOf(info.pid)) !== user) return [];
        return [{ ...info, script: 'start', version: undefined, binaryDir: undefined }];
      }
      const value = (name: string): string | undefined =>
        variables.find((variable) => variable.startsWith(`${name}=`))?.slice(name.length + 1);
      return [
        {
          ...info,
          script: value('LEONORE_SCRIPT'),
          version: value('LEONORE_VERSION'),
          binaryDir: value('LEONORE_BINARY_DIR'),
        },
      ];
    }),
  );
  return marked.flat().toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid);
}

/** The real user id. */
export async function userOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  const id = /^Uid:\s*(\d+)/m.exec(status)?.[1];
  return id === undefined ? undefined : Number(id);
}

/** The same machine, not started again since. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim();
}

export interface TerminateOptions {
  /** From SIGTERM to SIGKILL, ms; 0 = SIGKILL at once. */
  readonly graceMs: number;
  /** Which of the application's processes; all when absent. */
  readonly only?: (found: MarkedProcess) => boolean;
  /** The user id that only this application has. */
  readonly user?: number | undefined;
  /** Others that go with them, whatever they are. */
  readonly also?: (() => Promise<readonly number[]>) | undefined;
}

/** A process that does not die of SIGKILL hangs in the kernel (a dead disk, say); there is no use in waiting longer, ms. */
const UNDEAD_MS = 60_000;

/**
 * Ends the application's processes with their groups; fulfilled when none is left. @returns how many there were at first.
 * @throws Error when some cannot be killed.
 */
export async function terminate(dataDir: string, options: TerminateOptions): Promise<number> {
  const groups = new Set<number>();
  const own = (await readProcess(process.pid))?.group;
  const alive = async (): Promise<ProcessInfo[]> => {
    const marked = (await findMarked(dataDir, options.user)).filter((found) => options.only?.(found) ?? true);
    for (const { group } of marked) if (group !== own) groups.add(group);
    const members = groups.size === 0 ? [] : (await listProcesses()).filter(({ group }) => groups.has(group));
    const others = await Promise.all(((await options.also?.()) ?? []).map((pid) => readProcess(pid)));
    const all = [...marked, ...members, ...others.filter((info) => info !== undefined)];
    return [...new Map(all.map((info) => [info.pid, info])).values()];
  };

  let left = await alive();
  const count = left.length;
  const deadline = performance.now() + options.graceMs;
  const term = options.graceMs > 0;
  if (term) sendAll(left, 'SIGTERM');
  for (let waitMs = 10; left.length > 0; waitMs = Math.min(waitMs * 2, 200)) {
    if (!term || performance.now() >= deadline) sendAll(left, 'SIGKILL');
    if (performance.now() >= deadline + UNDEAD_MS) {
      throw new Error(`these processes cannot be killed: ${left.map(({ pid }) => pid).join(', ')}`);
    }
    await sleep(waitMs);
    left = await alive();
  }
  return count;
}

function sendAll(targets: readonly ProcessInfo[], signal: NodeJS.Signals): void {
  for (const { pid } of targets) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended in the meantime.
    }
  }
}
