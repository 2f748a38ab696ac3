/**
 * When the health of an application is asked, and what follows. In the window after its start: until it has been well for
 * some time without a break, or the window ends: what is well now and then is not healthy. Afterwards at intervals: after
 * as many failures in a row as its manifest allows it counts as unhealthy, and is started again where the manifest has a
 * `health` that says so.
 */
import { LeonoreError } from '@leonore/protocol';
import { sleep } from '../connectivity/mod.ts';
import type { Application } from './application.ts';
import { canAskHealth, type Verdict } from './health.ts';
import { lastLines } from './log-file.ts';
import type { Supervised } from './supervised.ts';

export interface HealthTiming {
  /** Well at each look for this long counts as healthy; where nothing can be asked, alive this long after the start, ms. */
  readonly settleMs: number;
  /** A check that takes longer has failed, where the manifest does not say, ms. */
  readonly healthScriptMs: number;
}

/** One way to ask that takes at most that long. */
export type Ask = (timeoutMs: number, signal?: AbortSignal) => Promise<Verdict>;

const DEFAULT_WINDOW_SECONDS = 30;
const LOOKS_TO_SETTLE = 4;
/** Between two checks of what is still starting, ms. */
const SOON_MS = 1000;
const REPORTED_LINES = 20;

export interface HealthWatch {
  /** Asks when it is due. */
  look(signal: AbortSignal): Promise<void>;
  /** Next time after the interval. */
  postpone(): void;
}

export interface HealthWatchOptions {
  readonly one: Supervised;
  readonly ask: Ask;
  readonly timing: HealthTiming;
  /** Whether what was asked still matters: the application is hosted, and under no check of its own. */
  readonly counts: () => boolean;
  readonly onUnhealthy: (fault: string) => void;
}

export function createHealthWatch(options: HealthWatchOptions): HealthWatch {
  const { one, ask, timing } = options;
  const { run } = one.workload.application;
  // Without `health` in the manifest its first failure is told, and that is all.
  const { failures: allowed, restart } = run.health ?? { failures: 1, restart: false };
  const intervalMs = run.healthIntervalSeconds * 1000;
  let next = 0;
  let failures = 0;
  /** `since` of the process that these are about. */
  let about = 0;
  return {
    postpone() {
      about = one.since;
      next = performance.now() + intervalMs;
      failures = 0;
    },
    async look(signal) {
      const now = performance.now();
      if (about !== one.since) {
        about = one.since;
        next = 0;
        failures = 0;
      }
      const starting = one.state === 'starting';
      const due = Math.max(next, starting ? one.since + timing.settleMs : 0);
      if (now < due || !one.alive || !options.counts()) return;
      next = now + intervalMs;
      const { since } = one;
      const verdict = await ask(checkMs(one.workload.application, timing), signal);
      if (!one.alive || one.since !== since || !options.counts()) return;
      if (verdict.outcome !== 'unwell') {
        failures = 0;
        return one.judge(undefined);
      }
      const { fault } = verdict;
      if (starting && now - since < run.healthTimeoutSeconds * 1000) {
        next = now + SOON_MS;
        return;
      }
      failures += 1;
      if (failures < allowed && !starting) return;
      if (one.state !== 'failed') options.onUnhealthy(fault);
      one.judge(fault);
      if (!restart || run.restart === 'never') return;
      failures = 0;
      await one.restart(`not healthy: ${fault}`);
    },
  };
}

/** Fulfilled when it is healthy. `one`: what is hosted of it; undefined for what has nothing to run. */
export async function proveHealth(
  application: Application,
  one: Supervised | undefined,
  { ask, timing, signal }: { ask: Ask; timing: HealthTiming; signal: AbortSignal | undefined },
): Promise<void> {
  const seconds = application.run?.healthTimeoutSeconds ?? DEFAULT_WINDOW_SECONDS;
  const deadline = performance.now() + seconds * 1000;
  const askable = await canAskHealth(application);
  const limitMs = checkMs(application, timing);
  let verdict: Verdict | undefined;
  let wellSince: number | undefined;
  let wellLooks = 0;
  for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 1000)) {
    if (one && one.exits.length > 0) {
      if (endedWell(one)) return;
      const { code, signal: killedBy } = one.exits.at(-1) ?? {};
      const ending = { ...(code == null ? {} : { exitCode: code }), ...(killedBy == null ? {} : { signal: killedBy }) };
      throw unhealthy(`${exitText(one)} right after its start`, await words(one), ending);
    }
    if (askable) {
      // What is asked last is given a little time though the window ends.
      verdict = await ask(Math.min(limitMs, Math.max(limitMs / 10, deadline - performance.now())), signal);
      if (one && one.exits.length > 0) continue;
      if (verdict.outcome === 'unwell') {
        wellSince = undefined;
      } else {
        if (!one) break;
        wellLooks += 1;
        wellSince ??= performance.now();
        if (performance.now() - wellSince >= timing.settleMs) break;
        // What has begun to be well is not cut off by the end of the window.
        await sleep(timing.settleMs / LOOKS_TO_SETTLE, signal);
        continue;
      }
    } else if (!one || performance.now() - one.since >= timing.settleMs) {
      break;
    }
    if (performance.now() >= deadline) {
      const { fault, output, ending } =
        verdict?.outcome === 'unwell' ? verdict : { fault: undefined, output: [], ending: undefined };
      const said = [...output, ...(one ? await words(one, REPORTED_LINES - output.length) : [])];
      const never = wellLooks === 0 ? '' : ` for ${timing.settleMs / 1000} s on end (at ${wellLooks} looks it was)`;
      const why = fault === undefined ? '' : `: ${fault}`;
      throw unhealthy(`it was not healthy${never} within ${seconds} s${why}`, said, ending);
    }
    await sleep(Math.min(waitMs, Math.max(1, deadline - performance.now())), signal);
  }
  one?.judge(undefined);
}

function checkMs(application: Application, timing: HealthTiming): number {
  const seconds = application.run?.health?.timeoutSeconds;
  return seconds === undefined ? timing.healthScriptMs : seconds * 1000;
}

function endedWell(one: Supervised): boolean {
  return one.workload.application.run.restart !== 'always' && one.exits.at(-1)?.code === 0;
}

function exitText(one: Supervised): string {
  const exit = one.exits.at(-1);
  const why = exit?.why === undefined ? '' : ` (${exit.why})`;
  if (exit?.signal) return `it was killed by ${exit.signal}${why}`;
  return `${exit?.code === null || exit === undefined ? 'it ended' : `it ended with exit code ${exit.code}`}${why}`;
}

/** From the last process that ended on: by now another may run that has said nothing yet. */
function words(one: Supervised, count = REPORTED_LINES): Promise<string[]> {
  return lastLines(one.workload.application.logFile, count, one.exits.at(-1)?.logOffset ?? one.logOffset);
}

/** `ending`: of the script or process that showed it. */
function unhealthy(why: string, output: readonly string[], ending: object = {}): LeonoreError {
  return new LeonoreError('agent.unhealthy', why, { details: { output, ...ending } });
}
