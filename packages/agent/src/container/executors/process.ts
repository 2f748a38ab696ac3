/**
 * Runs an application as a process of its own in its own process group: the executor that every gateway has. Limits are
 * set from outside, by its cgroup, and by the shell that it is launched through, as resource limits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { LeonoreError } from '@leonore/protocol';
import { scriptEnvironment } from '../application.ts';
import { isDiskFault } from '../disk-fault.ts';
import type { Confinement, Limiter } from '../limits.ts';
import { readProcess, terminate } from '../process-table.ts';
import { findRunning, stillThere, watchProcess } from './adoption.ts';
import type { Ending, Executor, Running, Workload } from './executor.ts';

export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  /** Called while the process waits and has not executed `file` yet. */
  readonly beforeStart?: ((pid: number) => Promise<void>) | undefined;
  /** Shell commands that the process runs before it becomes `file`. */
  readonly shell?: readonly string[];
  /** undefined: the agent's. */
  readonly user: number | undefined;
}

/** The launching shell waits for a line on fd 3; without one (the agent is gone) nothing starts. */
const GATE = 'read -r go <&3 || exit 125; exec 3<&-';

export function createProcessExecutor({ limiter }: { limiter: Limiter }): Executor {
  return {
    name: 'process',
    available: () => Promise.resolve({ available: true, version: '1' }),
    prepare: () => Promise.resolve(),
    async launch(workload) {
      const { application, user } = workload;
      const confined = await limiter.confine(application.name, application.run.limits, user);
      const { child, pid } = await spawnApplication(workload, {
        file: join(application.controlDir, 'start'),
        args: [],
        user,
        ...(confined && { beforeStart: confined.enter, shell: confined.shell }),
      });
      return runningChild(child, pid, user, confined);
    },
    async adopt(workload, known) {
      const found = await findRunning(workload, known);
      if (!found) return undefined;
      const { application, user } = workload;
      const limits = await limiter.adopt(application.name, application.run.limits, user, found.pid);
      return { ...found, limits, ...watchProcess(found) };
    },
    async end({ application, user }, graceMs, running) {
      await terminate(application.dataDir, {
        graceMs,
        user,
        only: ({ script }) => script === 'start',
        also: async () => [...(await stillThere(running)), ...(await limiter.members(application.name))],
      });
      await limiter.release(application.name);
    },
    inside: ({ user }) => Promise.resolve({ user }),
  };
}

/** A child in a group of its own that writes to the application's log and outlives the agent. */
export async function spawnApplication(
  { application }: Workload,
  { file, args, beforeStart, shell = [], user }: Launch,
): Promise<{ child: ChildProcess; pid: number }> {
  const gated = beforeStart !== undefined || shell.length > 0;
  const [command, parameters] = gated
    ? ['/bin/sh', ['-c', [GATE, ...shell, 'exec "$@"'].join('; '), 'leonore', file, ...args]]
    : [file, [...args]];
  // On a disk that takes no file it runs without a log.
  const log = await open(application.logFile, 'a', 0o644).catch((error: unknown) => {
    if (!isDiskFault(error)) throw error;
  });
  const output = log?.fd ?? 'ignore';
  try {
    const child = spawn(command, parameters, {
      cwd: application.binaryDir,
      env: scriptEnvironment(application, 'start'),
      detached: true,
      stdio: ['ignore', output, output, ...(gated ? ['pipe' as const] : [])],
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) =>
        reject(
          new LeonoreError('agent.script-failed', `control/start cannot be executed: ${error.message}`, {
            cause: error,
          }),
        ),
      );
    });
    const { pid } = child;
    if (pid === undefined) throw new Error('a process without a pid');
    if (gated) await openGate(child, pid, beforeStart);
    child.unref();
    return { child, pid };
  } finally {
    await log?.close();
  }
}

async function openGate(child: ChildProcess, pid: number, beforeStart: Launch['beforeStart']): Promise<void> {
  const gate = child.stdio[3] as Duplex;
  // The shell may have been killed; its end is told as the application's.
  gate.on('error', () => undefined);
  try {
    await beforeStart?.(pid);
    gate.end('go\n');
  } catch (error) {
    gate.destroy();
    throw error;
  }
}

async function runningChild(
  child: ChildProcess,
  pid: number,
  user: number | undefined,
  confined: Confinement | undefined,
): Promise<Running> {
  const ended = endOf(child).then(async (ending) => {
    const why = await confined?.fault(ending);
    return why === undefined ? ending : { ...ending, why };
  });
  const startTime = (await readProcess(pid))?.startTime ?? '';
  return { pid, startTime, user, limits: confined?.limits, ended, look: () => Promise.resolve() };
}

export function endOf(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve({ code: child.exitCode, signal: child.signalCode });
    } else {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    }
  });
}
