/**
 * The container: hosts applications side by side as processes of their own, in their own process groups, that live on
 * while the agent restarts. Runs control scripts, keeps applications running, checks their health, caps their logs.
 * Leaves to others: which version runs when, and where it lies.
 */
import { join } from 'node:path';
import { type ControlScript, LeonoreError, type Run } from '@leonore/protocol';
import { errorText, type Logger, sleep } from '../connectivity/mod.ts';
import type { Application } from './application.ts';
import { hasScript, requireSuccess, runScript, type ScriptResult, scriptFault } from './control-script.ts';
import { lastLines, rotateLog, tailLines } from './log-file.ts';
import { readPidFile, removePidFile } from './pid-file.ts';
import { findMarked, terminate } from './process-table.ts';
import { type ApplicationState, type RestartTiming, type Supervised, supervise } from './supervised.ts';

export interface ContainerTiming extends RestartTiming {
  /** Without a health script: alive this long after the start counts as healthy, ms. */
  readonly settleMs: number;
  /** A health script that takes longer is not healthy, ms. */
  readonly healthScriptMs: number;
  /** Any other script that takes longer is killed, ms. */
  readonly scriptMs: number;
  /** Between two looks at logs, adopted processes and health, ms. */
  readonly tickMs: number;
}
export const CONTAINER_TIMING: ContainerTiming = {
  initialMs: 1000,
  maxMs: 300_000,
  steadyMs: 60_000,
  settleMs: 2000,
  healthScriptMs: 10_000,
  scriptMs: 600_000,
  tickMs: 1000,
};

export interface ContainerOptions {
  /** Folder for pid files. */
  readonly runDir: string;
  readonly logger: Logger;
  readonly timing?: Partial<ContainerTiming>;
  /** Cap of a log file, bytes; one older file of as many is kept. */
  readonly maxLogBytes?: number;
  /** An application's state has changed. */
  readonly onChange?: () => void;
}

export interface Container extends AsyncDisposable {
  /** Runs it from now on: adopts it where it runs already. Does nothing when it is hosted already. */
  start(application: Application): Promise<void>;
  /** Ends whatever runs under this name, whoever started it; fulfilled when no process is left. */
  stop(name: string, dataDir: string): Promise<void>;
  /** Fulfilled when healthy. @throws LeonoreError `agent.unhealthy` with its last words in `details.output`. */
  check(application: Application, signal?: AbortSignal): Promise<void>;
  /** @throws LeonoreError `agent.script-failed`. */
  script(application: Application, script: ControlScript, signal?: AbortSignal): Promise<void>;
  /** Kills control scripts that a former agent has left running. */
  sweep(dataDir: string): Promise<void>;
  /** Undefined for what is not hosted. */
  state(name: string): ApplicationState | undefined;
}

const DEFAULT_MAX_LOG_BYTES = 2 ** 20;
const DEFAULT_HEALTH_TIMEOUT_SECONDS = 30;
/** Between two health checks of what is still starting, ms. */
const STARTING_HEALTH_MS = 1000;

export function createContainer(options: ContainerOptions): Container {
  const timing: ContainerTiming = { ...CONTAINER_TIMING, ...options.timing };
  const { logger, maxLogBytes = DEFAULT_MAX_LOG_BYTES } = options;
  const hosted = new Map<string, Supervised>();
  const nextHealth = new Map<string, number>();
  /** Under a check of their own now. */
  const checking = new Set<string>();
  const closing = new AbortController();
  const pidFile = (name: string): string => join(options.runDir, `${name}.json`);

  const health = async (application: Application, limitMs: number, signal?: AbortSignal): Promise<ScriptResult> =>
    runScript(application, 'health', { timeoutMs: Math.max(1, Math.min(timing.healthScriptMs, limitMs)), signal });

  const checkHealth = async (one: Supervised): Promise<void> => {
    const { application } = one;
    const now = performance.now();
    const starting = one.state === 'starting';
    const due = Math.max(nextHealth.get(application.name) ?? 0, starting ? one.since + timing.settleMs : 0);
    if (now < due || !one.alive || checking.has(application.name)) return;
    const { healthIntervalSeconds, healthTimeoutSeconds } = application.run;
    nextHealth.set(application.name, now + healthIntervalSeconds * 1000);
    const result = await health(application, timing.healthScriptMs, closing.signal);
    if (hosted.get(application.name) !== one || !one.alive || checking.has(application.name)) return;
    const fault = scriptFault('health', result, timing.healthScriptMs);
    if (fault !== undefined && starting && now - one.since < healthTimeoutSeconds * 1000) {
      nextHealth.set(application.name, now + STARTING_HEALTH_MS);
      return;
    }
    if (fault !== undefined && one.state !== 'failed') {
      logger.warn('application is unhealthy', { name: application.name, fault });
    }
    one.judge(fault === undefined);
  };
  /** What looks after each application now; one that takes long does not hold the others. */
  const busy = new Map<string, Promise<void>>();
  const lookAfter = (one: Supervised, what: string, work: () => Promise<unknown>): void => {
    const { name } = one.application;
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
      for (const one of hosted.values()) {
        lookAfter(one, 'watch', () => one.look());
        lookAfter(one, 'rotate the log of', () => rotateLog(one.application.logFile, maxLogBytes));
        lookAfter(one, 'check the health of', () => checkHealth(one));
      }
    }
    await Promise.all(busy.values());
  })();

  const untilHealthy = async (application: Application, signal: AbortSignal | undefined): Promise<void> => {
    const seconds = application.run?.healthTimeoutSeconds ?? DEFAULT_HEALTH_TIMEOUT_SECONDS;
    const deadline = performance.now() + seconds * 1000;
    const one = hosted.get(application.name);
    const hasHealth = await hasScript(application, 'health');
    let said: ScriptResult | undefined;
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 1000)) {
      if (one && one.exits.length > 0) {
        if (endedWell(one)) return;
        throw unhealthy(`${exitText(one)} right after its start`, await words(one));
      }
      if (hasHealth) {
        said = await health(application, Math.max(timing.healthScriptMs / 10, deadline - performance.now()), signal);
        const exited = one !== undefined && one.exits.length > 0;
        if (!exited && scriptFault('health', said, timing.healthScriptMs) === undefined) break;
      } else if (!one || performance.now() - one.since >= timing.settleMs) {
        break;
      }
      if (performance.now() >= deadline) {
        const fault = said ? scriptFault('health', said, timing.healthScriptMs) : undefined;
        const output = said && said.outcome !== 'absent' ? tailLines(said.output, 10) : [];
        throw unhealthy(`it was not healthy within ${seconds} s${fault === undefined ? '' : `: ${fault}`}`, [
          ...output,
          ...(one ? await words(one, 20 - output.length) : []),
        ]);
      }
      await sleep(Math.min(waitMs, Math.max(1, deadline - performance.now())), signal);
    }
    one?.judge(true);
  };

  return {
    async start(application) {
      const { run } = application;
      if (!run) return;
      const here = hosted.get(application.name);
      if (here?.application.binaryDir === application.binaryDir && here.alive) return;
      if (here) await this.stop(application.name, application.dataDir);
      const one = await supervise({
        application: { ...application, run },
        pidFile: pidFile(application.name),
        timing,
        onChange: () => options.onChange?.(),
        onEvent: (event, facts) => logger.info(event, { name: application.name, ...facts }),
      });
      hosted.set(application.name, one);
      nextHealth.delete(application.name);
    },

    async stop(name, dataDir) {
      const one = hosted.get(name);
      nextHealth.delete(name);
      one?.release();
      const left = (await readPidFile(pidFile(name)))?.application;
      const application = one?.application ?? left;
      const runs = one?.alive ?? (await findMarked(dataDir)).length > 0;
      if (application && runs && (await hasScript(application, 'stop'))) {
        const timeoutMs = stopSeconds(application.run) * 1000;
        const result = await runScript(application, 'stop', { timeoutMs }).catch((error: unknown) => errorText(error));
        const fault = typeof result === 'string' ? result : scriptFault('stop', result, timeoutMs);
        if (fault !== undefined) logger.warn('the stop script failed; stopping without it', { name, fault });
      }
      if (one) await one.end();
      else await terminate(dataDir, { graceMs: stopSeconds(application?.run) * 1000 });
      hosted.delete(name);
      await removePidFile(pidFile(name));
    },

    async check(application, signal) {
      checking.add(application.name);
      try {
        await untilHealthy(application, signal);
        nextHealth.set(application.name, performance.now() + (application.run?.healthIntervalSeconds ?? 0) * 1000);
      } finally {
        checking.delete(application.name);
      }
    },

    async script(application, script, signal) {
      const result = await runScript(application, script, { timeoutMs: timing.scriptMs, signal });
      requireSuccess(script, result, timing.scriptMs);
    },

    async sweep(dataDir) {
      await terminate(dataDir, { graceMs: 0, only: ({ script }) => script !== 'start' });
    },

    state: (name) => hosted.get(name)?.state,

    async [Symbol.asyncDispose]() {
      closing.abort(new Error('the container closes'));
      for (const one of hosted.values()) one.release();
      await ticking;
    },
  };
}

function stopSeconds(run: Run | undefined): number {
  return run?.stopTimeoutSeconds ?? 10;
}

function endedWell(one: Supervised): boolean {
  return one.application.run.restart !== 'always' && one.exits.at(-1)?.code === 0;
}

function exitText(one: Supervised): string {
  const exit = one.exits.at(-1);
  if (exit?.signal) return `it was killed by ${exit.signal}`;
  return exit?.code === null || exit === undefined ? 'it ended' : `it ended with exit code ${exit.code}`;
}

/** From the last process that ended on: by now another may run that has said nothing yet. */
function words(one: Supervised, count = 20): Promise<string[]> {
  return lastLines(one.application.logFile, count, one.exits.at(-1)?.logOffset ?? one.logOffset);
}

function unhealthy(why: string, output: readonly string[]): LeonoreError {
  return new LeonoreError('agent.unhealthy', why, { details: { output } });
}
