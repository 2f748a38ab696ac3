/**
 * One application that is kept running: launched (or found running and adopted), watched, started again with
 * exponential back-off as its `run.restart` says.
 *
 *   stopped ──launch/adopt──> starting ──proven──> running <──health──> failed (runs, but is not healthy)
 *      ^                          └──────exit──────────┴──> failed (waits to start again) ──> starting
 *      └── exit that is not to be followed by a start; or end()
 *
 * Whose child the process is makes no difference but one: an adopted process's exit code is not known.
 */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type InstalledComponent, LeonoreError, type Run } from '@leonore/protocol';
import { type Application, scriptEnvironment } from './application.ts';
import { logSize } from './log-file.ts';
import { readPidFile, removePidFile, writePidFile } from './pid-file.ts';
import { bootId, findMarked, readProcess, terminate } from './process-table.ts';

export type ApplicationState = InstalledComponent['state'];

/** How it ended; `code` null when a signal ended it or nobody saw. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Where the words of the process that ended begin in the log file, bytes. */
  readonly logOffset: number;
}

export interface RestartTiming {
  readonly initialMs: number;
  readonly maxMs: number;
  /** After running this long the next delay is the initial one again, ms. */
  readonly steadyMs: number;
}

export interface SupervisedOptions {
  readonly application: Application & { readonly run: Run };
  readonly pidFile: string;
  readonly timing: RestartTiming;
  readonly onChange: (state: ApplicationState) => void;
  readonly onEvent: (event: string, facts: Record<string, unknown>) => void;
}

export interface Supervised {
  readonly application: Application & { readonly run: Run };
  readonly state: ApplicationState;
  /** Exits since it was launched or adopted. */
  readonly exits: readonly Exit[];
  readonly alive: boolean;
  /** When the process that runs now was launched or adopted, ms of performance.now(). */
  readonly since: number;
  /** Where its words begin in the log file, bytes. */
  readonly logOffset: number;
  /** What a health check found. */
  judge(healthy: boolean): void;
  /** Looks whether an adopted process is still there. */
  look(): Promise<void>;
  /** No more starts from here on; the process is left alone. */
  release(): void;
  /** Ends it: SIGTERM to the group, SIGKILL after the time it has. */
  end(): Promise<void>;
}

/** A process of this application and version that runs already, left by a former agent. */
async function findRunning(application: Application, pidFile: string): Promise<number | undefined> {
  const known = await readPidFile(pidFile);
  const started = (await findMarked(application.dataDir)).filter(({ script }) => script === 'start');
  const fits = started.filter(({ binaryDir }) => binaryDir === application.binaryDir);
  const sameBoot = known?.bootId === (await bootId());
  const proven = fits.find(({ pid, startTime }) => sameBoot && pid === known.pid && startTime === known.startTime);
  const leader = proven ?? fits.find(({ pid, group }) => pid === group);
  if (started.length > 0 && !leader) {
    await terminate(application.dataDir, { graceMs: 1000, only: ({ script }) => script === 'start' });
  }
  return leader?.pid;
}

/** Adopts what runs already or launches it. @throws LeonoreError `agent.script-failed` when it cannot be executed. */
export async function supervise(options: SupervisedOptions): Promise<Supervised> {
  const { application, pidFile, timing } = options;
  const exits: Exit[] = [];
  let state: ApplicationState = 'stopped';
  let pid: number | undefined;
  let startTime: string | undefined;
  let since = 0;
  let logOffset = 0;
  let released = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  const become = (next: ApplicationState): void => {
    if (next === state) return;
    state = next;
    options.onChange(next);
  };
  const remember = async (): Promise<void> => {
    const info = pid === undefined ? undefined : await readProcess(pid);
    if (!info) return;
    startTime = info.startTime;
    const record = { pid: info.pid, startTime, bootId: await bootId(), application };
    await writePidFile(pidFile, record).catch((error: unknown) =>
      // Not needed to find it again, only quicker: its environment names it.
      options.onEvent('cannot write the pid file', { error: String(error) }),
    );
  };

  const ended = (how: Omit<Exit, 'logOffset'>): void => {
    pid = undefined;
    const exit = { ...how, logOffset };
    exits.push(exit);
    if (exits.length > 100) exits.shift();
    if (released) return;
    const again = application.run.restart === 'always' || (application.run.restart === 'on-failure' && exit.code !== 0);
    if (performance.now() - since >= timing.steadyMs) failures = 0;
    const delayMs = Math.min(timing.maxMs, timing.initialMs * 2 ** Math.min(failures, 20));
    options.onEvent('application ended', { ...how, ...(again ? { startsAgainInMs: delayMs } : {}) });
    if (!again) return become(exit.code === 0 ? 'stopped' : 'failed');
    become('failed');
    failures += 1;
    timer = setTimeout(() => {
      void relaunch();
    }, delayMs);
  };
  const relaunch = async (): Promise<void> => {
    try {
      await terminate(application.dataDir, { graceMs: 0, only: ({ script }) => script === 'start' });
      if (!released) await launch();
    } catch (error) {
      options.onEvent('application cannot be started', { error: String(error) });
      ended({ code: null, signal: null });
    }
  };

  const launch = async (): Promise<void> => {
    logOffset = await logSize(application.logFile);
    const log = await open(application.logFile, 'a', 0o644);
    try {
      if (released) return;
      const child = spawn(join(application.controlDir, 'start'), [], {
        cwd: application.binaryDir,
        env: scriptEnvironment(application, 'start'),
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      });
      child.once('exit', (code, signal) => ended({ code, signal }));
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
      pid = child.pid;
      since = performance.now();
      become('starting');
      child.unref();
      await remember();
    } finally {
      await log.close();
    }
  };

  const adopted = await findRunning(application, pidFile);
  if (adopted === undefined) {
    await launch();
  } else {
    pid = adopted;
    since = performance.now();
    await remember();
    options.onEvent('application adopted', { pid });
    become('running');
  }

  return {
    application,
    get state() {
      return state;
    },
    exits,
    get alive() {
      return pid !== undefined;
    },
    get since() {
      return since;
    },
    get logOffset() {
      return logOffset;
    },
    judge(healthy) {
      if (pid === undefined || released) return;
      become(healthy ? 'running' : 'failed');
    },
    async look() {
      if (pid === undefined || pid !== adopted) return;
      const info = await readProcess(pid);
      if (info?.startTime !== startTime && pid === adopted) ended({ code: null, signal: null });
    },
    release() {
      released = true;
      clearTimeout(timer);
    },
    async end() {
      released = true;
      clearTimeout(timer);
      await terminate(application.dataDir, {
        graceMs: application.run.stopTimeoutSeconds * 1000,
        only: ({ script }) => script === 'start',
      });
      await removePidFile(pidFile);
      become('stopped');
    },
  };
}
