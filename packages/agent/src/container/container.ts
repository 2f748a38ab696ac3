/**
 * The container: hosts applications side by side, each in its own process group, with a user and limits of its own, that
 * live on while the agent restarts. Runs control scripts, keeps applications running, checks their health, caps their
 * logs. Leaves to others: which version runs when, and where it lies.
 */
import { join } from 'node:path';
import { type ControlScript, LeonoreError, type Run } from '@leonore/protocol';
import { errorText, type Logger, sleep } from '../connectivity/mod.ts';
import type { Application, RunnableApplication } from './application.ts';
import { hasScript, requireSuccess, runScript, scriptFault } from './control-script.ts';
import { isDiskFault } from './disk-fault.ts';
import { createExecutors } from './executors/all.ts';
import type { Executor, Workload } from './executors/executor.ts';
import { askHealth } from './health.ts';
import { type Ask, createHealthWatch, type HealthTiming, type HealthWatch, proveHealth } from './health-watch.ts';
import { type ApplicationUsers, createIdentities, lendFolders, makeReady } from './identities.ts';
import { keepLog } from './log-keeper.ts';
import { readPidFile, removePidFile } from './pid-file.ts';
import { findMarked, terminate } from './process-table.ts';
import { type ApplicationStatus, type RestartTiming, type Supervised, supervise } from './supervised.ts';

export interface ContainerTiming extends RestartTiming, HealthTiming {
  /** Any script but health that takes longer is killed, ms. */
  readonly scriptMs: number;
  /** Between two looks at adopted processes and health, ms. */
  readonly tickMs: number;
  /** Between two looks at a log that does not grow, ms. */
  readonly logMs: number;
}
export const CONTAINER_TIMING: ContainerTiming = {
  initialMs: 1000,
  maxMs: 300_000,
  steadyMs: 60_000,
  settleMs: 2000,
  healthScriptMs: 10_000,
  scriptMs: 600_000,
  tickMs: 1000,
  logMs: 250,
};

export interface ContainerOptions {
  /** Folder for what is noted of applications; the same after a restart of the machine. */
  readonly runDir: string;
  readonly logger: Logger;
  readonly timing?: Partial<ContainerTiming>;
  /** Cap of a log file, bytes; one older file of as many is kept. */
  readonly maxLogBytes?: number;
  /** Default `own`. */
  readonly applicationUsers?: ApplicationUsers | undefined;
  /** What the container says of an application has changed. */
  readonly onChange?: () => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface Container extends AsyncDisposable {
  /** Why nothing with this `run` can run here, in words; undefined when it can. Touches nothing. */
  refusal(run: Run | undefined): Promise<string | undefined>;
  /**
   * Runs it from now on: adopts it where it runs already. Does nothing when it is hosted already. `keepTrying`: also when
   * it cannot be executed. @throws LeonoreError `agent.script-failed`, `agent.unsupported`.
   */
  start(application: Application, options?: { readonly keepTrying?: boolean }): Promise<void>;
  /** Ends whatever runs under this name, whoever started it; fulfilled when no process is left. */
  stop(name: string, dataDir: string): Promise<void>;
  /** Fulfilled when healthy. @throws LeonoreError `agent.unhealthy` with its last words in `details.output`. */
  check(application: Application, signal?: AbortSignal): Promise<void>;
  /** @throws LeonoreError `agent.script-failed`. */
  script(application: Application, script: ControlScript, signal?: AbortSignal): Promise<void>;
  /** Kills control scripts that a former agent has left running. */
  sweep(dataDir: string): Promise<void>;
  /** Undefined for what is not hosted. */
  status(name: string): ApplicationStatus | undefined;
}

interface Hosted {
  readonly one: Supervised;
  readonly watch: HealthWatch;
  /** Ends what keeps its log. */
  readonly leaving: AbortController;
  readonly log: Promise<void>;
}

const DEFAULT_MAX_LOG_BYTES = 2 ** 20;

export function createContainer(options: ContainerOptions): Container {
  const timing: ContainerTiming = { ...CONTAINER_TIMING, ...options.timing };
  const { logger, runDir, maxLogBytes = DEFAULT_MAX_LOG_BYTES, now = Date.now } = options;
  const executors = createExecutors(runDir);
  const identities = createIdentities(options.applicationUsers ?? 'own', { runDir });
  const hosted = new Map<string, Hosted>();
  /** Under a check of their own now. */
  const checking = new Set<string>();
  const closing = new AbortController();
  const pidFile = (name: string): string => join(runDir, `${name}.json`);
  const executorOf = (run: Run): Executor => executors[run.executor ?? 'process'];

  const askOf =
    (application: Application, workload: Workload | undefined): Ask =>
    async (timeoutMs, signal) => {
      const inside = workload && (await executorOf(workload.application.run).inside(workload, 'health'));
      return askHealth(application, { timeoutMs, signal, ...inside });
    };

  /** What looks after each application now; one that takes long does not hold the others. */
  const busy = new Map<string, Promise<void>>();
  const lookAfter = (name: string, what: string, work: () => Promise<unknown>): void => {
    const key = `${what} ${name}`;
    if (busy.has(key)) return;
    const done = work()
      .catch((error: unknown) => {
        if (!closing.signal.aborted) logger.warn(`cannot ${what} an application`, { name, error: errorText(error) });
      })
      .then(() => void busy.delete(key));
    busy.set(key, done);
  };
  const ticking = (async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await sleep(timing.tickMs, closing.signal).catch(() => undefined);
      for (const [name, { one, watch }] of hosted) {
        lookAfter(name, 'watch', () => one.look());
        lookAfter(name, 'check the health of', () => watch.look(closing.signal));
      }
    }
    await Promise.all(busy.values());
  })();
  const host = (one: Supervised): void => {
    const { application } = one.workload;
    const { name } = application;
    const leaving = new AbortController();
    const watch = createHealthWatch({
      one,
      ask: askOf(application, one.workload),
      timing,
      counts: () => hosted.get(name)?.one === one && !checking.has(name),
      onUnhealthy: (fault) => logger.warn('application is unhealthy', { name, fault }),
    });
    const log = keepLog(
      { logger, name, file: application.logFile, maxBytes: maxLogBytes, longestMs: timing.logMs },
      AbortSignal.any([closing.signal, leaving.signal]),
    );
    hosted.set(name, { one, watch, leaving, log });
  };
  const leave = async (name: string): Promise<void> => {
    const here = hosted.get(name);
    hosted.delete(name);
    here?.leaving.abort(new Error('it is not hosted any more'));
    await here?.log;
  };

  return {
    async refusal(run) {
      const refused = await identities.refusal(run);
      if (refused !== undefined || !run) return refused;
      const availability = await executorOf(run).available();
      return availability.available ? undefined : availability.why;
    },

    async start(application, { keepTrying = false } = {}) {
      if (!isRunnable(application)) return;
      const { name } = application;
      const here = hosted.get(name)?.one;
      if (here?.workload.application.binaryDir === application.binaryDir && here.alive) return;
      if (here) await this.stop(name, application.dataDir);
      const refused = await this.refusal(application.run);
      if (refused !== undefined) throw new LeonoreError('agent.unsupported', `${name} cannot run here: ${refused}`);
      const workload = await identities.of(application);
      if (workload.note !== undefined) logger.warn('application has no user of its own', { name, why: workload.note });
      const one = await supervise({
        workload,
        executor: executorOf(application.run),
        pidFile: pidFile(name),
        timing,
        now,
        keepTrying,
        makeReady: () =>
          makeReady(workload).catch((error: unknown) => {
            if (!isDiskFault(error)) throw error;
            logger.warn('folders of an application cannot be made ready', { name, error: errorText(error) });
          }),
        onChange: () => options.onChange?.(),
        onEvent: (event, facts) => logger.info(event, { name, ...facts }),
      });
      host(one);
    },

    async stop(name, dataDir) {
      const one = hosted.get(name)?.one;
      one?.release();
      const left = (await readPidFile(pidFile(name)))?.application;
      const user = await identities.known(name, dataDir);
      const workload = one?.workload ?? (left && isRunnable(left) ? await whoItWas(left) : undefined);
      const graceMs = stopSeconds(workload?.application.run) * 1000;
      if (workload && (one?.alive ?? (await findMarked(dataDir, user)).length > 0)) await askToStop(workload, graceMs);
      if (one) await one.end();
      else if (workload) await executorOf(workload.application.run).end(workload, graceMs);
      // Whatever else there is of it.
      await terminate(dataDir, { graceMs: one || workload ? 0 : graceMs, user });
      await leave(name);
      await removePidFile(pidFile(name));
    },

    async check(application, signal) {
      const { name } = application;
      checking.add(name);
      try {
        const here = hosted.get(name);
        const ask = askOf(application, here?.one.workload);
        await proveHealth(application, here?.one, { ask, timing, signal });
        here?.watch.postpone();
      } finally {
        checking.delete(name);
      }
    },

    async script(application, script, signal) {
      const runner = await identities.installer(application);
      const workload = isRunnable(application) ? await identities.of(application) : undefined;
      if (script === 'install' && workload) await executorOf(workload.application.run).prepare(workload.application);
      const result = await lendFolders(application, { owner: workload?.user ?? runner, runner }, () =>
        runScript(application, script, { timeoutMs: timing.scriptMs, signal, user: runner }),
      );
      requireSuccess(script, result, timing.scriptMs);
    },

    async sweep(dataDir) {
      await terminate(dataDir, { graceMs: 0, only: ({ script }) => script !== 'start' });
    },

    status: (name) => hosted.get(name)?.one.status(),

    async [Symbol.asyncDispose]() {
      closing.abort(new Error('the container closes'));
      for (const { one } of hosted.values()) one.release();
      await ticking;
      await Promise.all([...hosted.values()].map(({ log }) => log));
    },
  };

  /** To be ended, whatever is in the way of running it. */
  async function whoItWas(application: RunnableApplication): Promise<Workload> {
    return identities.of(application).catch(() => ({ application, user: undefined }));
  }

  async function askToStop(workload: Workload, timeoutMs: number): Promise<void> {
    const { application } = workload;
    if (!(await hasScript(application, 'stop'))) return;
    const inside = await executorOf(application.run).inside(workload, 'stop');
    const result = await runScript(application, 'stop', { timeoutMs, ...inside }).catch((error: unknown) =>
      errorText(error),
    );
    const fault = typeof result === 'string' ? result : scriptFault('stop', result, timeoutMs);
    if (fault !== undefined)
      logger.warn('the stop script failed; stopping without it', { name: application.name, fault });
  }
}

function isRunnable(application: Application): application is RunnableApplication {
  return application.run !== undefined;
}

function stopSeconds(run: Run | undefined): number {
  return run?.stopTimeoutSeconds ?? 10;
}
