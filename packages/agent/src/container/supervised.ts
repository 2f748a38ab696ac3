/**
 * One application that is kept running: launched (or found running and adopted), watched, started again with
 * exponential back-off as its `run.restart` says, or because it is not well.
 *
 *   stopped ──launch/adopt──> starting ──proven──> running <──health──> failed (runs, but is not healthy)
 *      ^                          └──exit, restart()───┴──> failed (waits to start again) ──> starting
 *      └── exit that is not to be followed by a start; or end()
 *
 * Leaves to others: how it is run (executors/), whether it is well (health-watch.ts).
 */
import type { InstalledComponent } from '@leonore/protocol';
import { errorText } from '../connectivity/mod.ts';
import type { Ending, Executor, Running, Workload } from './executors/executor.ts';
import { limitsInVain } from './limits.ts';
import { logSize } from './log-file.ts';
import { readPidFile, removePidFile, writePidFile } from './pid-file.ts';
import { bootId } from './process-table.ts';

export type ApplicationState = InstalledComponent['state'];
/** What the container says of an application that it hosts. */
export type ApplicationStatus = Pick<InstalledComponent, 'state'> &
  Partial<Pick<InstalledComponent, 'executor' | 'user' | 'limits' | 'restarts' | 'since' | 'lastExit' | 'note'>>;

export interface Exit extends Ending {
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
  readonly workload: Workload;
  readonly executor: Executor;
  readonly pidFile: string;
  readonly timing: RestartTiming;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Before each launch. */
  readonly makeReady: () => Promise<void>;
  /** What cannot be executed the first time is tried again like what has ended. */
  readonly keepTrying: boolean;
  readonly onChange: () => void;
  readonly onEvent: (event: string, facts: Record<string, unknown>) => void;
}

export interface Supervised {
  readonly workload: Workload;
  readonly state: ApplicationState;
  /** Exits since it was launched or adopted. */
  readonly exits: readonly Exit[];
  readonly alive: boolean;
  /** When the process that runs now was launched or adopted, ms of performance.now(). */
  readonly since: number;
  /** Where its words begin in the log file, bytes. */
  readonly logOffset: number;
  status(): ApplicationStatus;
  /** What a health check found; `fault` in words when it is not well. */
  judge(fault: string | undefined): void;
  /** Looks whether an adopted process is still there. */
  look(): Promise<void>;
  /** Ends it, to start it again after the delay that is due. */
  restart(why: string): Promise<void>;
  /** No more starts from here on; the process is left alone. */
  release(): void;
  /** Ends it: SIGTERM to the group, SIGKILL after the time it has. */
  end(): Promise<void>;
}

const MAX_EXITS = 100;
const MAX_NOTE = 300;
const MAX_WHY = 200;

/** Adopts what runs already or launches it. @throws LeonoreError `agent.script-failed` when it cannot be executed. */
export async function supervise(options: SupervisedOptions): Promise<Supervised> {
  const { workload, executor, pidFile, timing } = options;
  const { application } = workload;
  const graceMs = application.run.stopTimeoutSeconds * 1000;
  const exits: Exit[] = [];
  let state: ApplicationState = 'stopped';
  let running: Running | undefined;
  let startedAt: number | undefined;
  let since = 0;
  let logOffset = 0;
  let released = false;
  let failures = 0;
  let restarts = 0;
  let lastExit: ApplicationStatus['lastExit'];
  let fault: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  /** Why it is being ended, and until when that takes. */
  let ending: { readonly why: string; readonly done: Promise<void> } | undefined;

  const become = (next: ApplicationState, nextFault?: string): void => {
    if (next === state && nextFault === fault) return;
    state = next;
    fault = nextFault;
    options.onChange();
  };
  const remember = async ({ pid, startTime }: Running): Promise<void> => {
    const times = { ...(startedAt === undefined ? {} : { startedAt }), restarts };
    const record = { pid, startTime, bootId: await bootId(), application, ...times };
    await writePidFile(pidFile, record).catch((error: unknown) =>
      // Not needed to find it again, only quicker: its environment names it.
      options.onEvent('cannot write the pid file', { error: errorText(error) }),
    );
  };

  const ended = (how: Ending): void => {
    running = undefined;
    startedAt = undefined;
    const why = ending?.why ?? how.why;
    const exit: Exit = { code: how.code, signal: how.signal, ...(why === undefined ? {} : { why }), logOffset };
    exits.push(exit);
    if (exits.length > MAX_EXITS) exits.shift();
    if (released) return;
    lastExit = exitFacts(exit, options.now());
    const { restart } = application.run;
    const again = restart === 'always' || (restart === 'on-failure' && (how.code !== 0 || ending !== undefined));
    if (performance.now() - since >= timing.steadyMs) failures = 0;
    const delayMs = Math.min(timing.maxMs, timing.initialMs * 2 ** Math.min(failures, 20));
    const { logOffset: _where, ...told } = exit;
    options.onEvent('application ended', { ...told, ...(again ? { startsAgainInMs: delayMs } : {}) });
    if (!again) return become(how.code === 0 ? 'stopped' : 'failed');
    become('failed', ending?.why);
    failures += 1;
    timer = setTimeout(() => {
      void relaunch();
    }, delayMs);
  };
  const relaunch = async (): Promise<void> => {
    try {
      await ending?.done;
      await executor.end(workload, 0);
      restarts += 1;
      if (!released) await launch();
    } catch (error) {
      notStarted(error);
    }
  };
  const notStarted = (error: unknown): void => {
    options.onEvent('application cannot be started', { error: errorText(error) });
    ended({ code: null, signal: null, why: errorText(error) });
  };

  const take = (one: Running): void => {
    running = one;
    since = performance.now();
    void one.ended.then((how) => {
      if (running === one) ended(how);
    });
  };
  const launch = async (): Promise<void> => {
    ending = undefined;
    await options.makeReady();
    logOffset = await logSize(application.logFile);
    if (released) return;
    const one = await executor.launch(workload);
    startedAt = options.now();
    take(one);
    become('starting');
    sayLimits(one);
    await remember(one);
  };
  const sayLimits = ({ limits }: Running): void => {
    if (!limits) return;
    const { by, ...inForce } = limits;
    const inVain = limitsInVain(application.run.limits, limits);
    options.onEvent('limits', { by, ...inForce, ...(inVain === undefined ? {} : { inVain }) });
  };

  const begin = async (): Promise<void> => {
    const known = await readPidFile(pidFile);
    const adopted = await executor.adopt(workload, known);
    if (!adopted) return launch();
    if (known?.pid === adopted.pid && known.startTime === adopted.startTime) {
      startedAt = known.startedAt;
      restarts = known.restarts ?? 0;
    }
    take(adopted);
    options.onEvent('application adopted', { pid: adopted.pid });
    sayLimits(adopted);
    become('running');
    await remember(adopted);
  };
  await begin().catch((error: unknown) => {
    if (!options.keepTrying) throw error;
    notStarted(error);
  });

  return {
    workload,
    get state() {
      return state;
    },
    exits,
    get alive() {
      return running !== undefined;
    },
    get since() {
      return since;
    },
    get logOffset() {
      return logOffset;
    },
    status() {
      const inVain = running && limitsInVain(application.run.limits, running.limits);
      const notes = [fault, workload.note, inVain && `cannot be limited here: ${inVain}`].filter(Boolean);
      return {
        state,
        ...(executor.name === 'process' ? {} : { executor: executor.name }),
        ...(running?.user === undefined ? {} : { user: running.user }),
        ...(running?.limits ? { limits: running.limits } : {}),
        ...(restarts === 0 ? {} : { restarts }),
        ...(startedAt === undefined ? {} : { since: startedAt }),
        ...(lastExit ? { lastExit } : {}),
        ...(notes.length === 0 ? {} : { note: notes.join('; ').slice(0, MAX_NOTE) }),
      };
    },
    judge(nextFault) {
      if (!running || released) return;
      become(nextFault === undefined ? 'running' : 'failed', nextFault);
    },
    look: async () => running?.look(),
    async restart(why) {
      if (!running || released || ending) return;
      const one = running;
      const done = executor.end(workload, graceMs, running).catch((error: unknown) => {
        ending = undefined;
        options.onEvent('application cannot be ended', { error: errorText(error) });
      });
      ending = { why, done };
      await done;
      // Of an adopted one nobody is told.
      if (running === one) await one.look();
    },
    release() {
      released = true;
      clearTimeout(timer);
    },
    async end() {
      released = true;
      clearTimeout(timer);
      await executor.end(workload, graceMs, running);
      await removePidFile(pidFile);
      become('stopped');
    },
  };
}

function exitFacts({ code, signal, why }: Exit, at: number): ApplicationStatus['lastExit'] {
  return {
    at: Math.max(0, Math.floor(at)),
    ...(code === null ? {} : { code }),
    ...(signal === null ? {} : { signal }),
    ...(why === undefined ? {} : { why: why.slice(0, MAX_WHY) }),
  };
}
