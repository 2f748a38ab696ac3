/** Many kills: which point of which scenario comes next, several gateways at a time, and the figures of it all. */
import type { Figures, Kill, Violation } from './figures.ts';
import { type KillRun, startKillRun } from './kills.ts';
import { pick, randomFrom, shuffled } from './random.ts';
import type { Scenario } from './scenarios.ts';
import { DISK_ERRORS, FAILING_CALLS, type Injection } from './strace.ts';

export interface KillsOptions {
  readonly kills: number;
  readonly seed: number;
  readonly scenarios: readonly Scenario[];
  /** Each point of each scenario once, instead of `kills` random ones. */
  readonly every: boolean;
  /** Always there. */
  readonly point?: Injection;
  /** Instead of being killed it meets a disk that refuses. */
  readonly errors: boolean;
  /** Gateways at a time. */
  readonly parallel: number;
  readonly onProgress?: (line: string) => void;
  /** Ends it after the cycles that are going on. */
  readonly signal?: AbortSignal;
}

/** What agents say when they find something to put in order. */
const REPAIRS = /going back: the agent was|finishing what was committed|was damaged|was lost|put in order|adopted/;
const PROGRESS_MS = 30_000;
/** More say nothing new. */
const MAX_VIOLATIONS = 20;

export async function runKills(options: KillsOptions): Promise<Figures> {
  const began = performance.now();
  const kills: Kill[] = [];
  const violations: Violation[] = [];
  const repairs: Record<string, number> = {};
  const schedule = createSchedule(options);
  let missed = 0;
  let told = began;

  const count = (result: Kill | Violation | undefined): void => {
    if (!result) missed += 1;
    else if ('faults' in result) {
      violations.push(result);
      options.onProgress?.(`violation: ${JSON.stringify(result, null, 1)}`);
    } else kills.push(result);
    if (performance.now() - told <= PROGRESS_MS) return;
    told = performance.now();
    const seconds = Math.round((told - began) / 1000);
    options.onProgress?.(`${seconds} s: ${kills.length} kills, ${missed} not reached, ${violations.length} violations`);
  };
  const isOver = (): boolean =>
    options.signal?.aborted === true ||
    violations.length >= MAX_VIOLATIONS ||
    (!options.every && kills.length + violations.length >= options.kills);

  const worker = async (number: number): Promise<void> => {
    const random = randomFrom(options.seed + number * 7919);
    let run = await startKillRun(random);
    try {
      while (!isOver()) {
        const chosen = await schedule.next(run, random);
        if (!chosen) break;
        const result = options.errors
          ? await run.failing(chosen.scenario, failingPoint(random), pick(DISK_ERRORS, random) ?? 'EIO')
          : await run.cycle(chosen.scenario, chosen.point);
        count(result);
        if (!result || !('faults' in result)) continue;
        // A gateway that is not in order is no beginning for another.
        await run[Symbol.asyncDispose]();
        run = await startKillRun(random);
      }
      for (const line of (await run.agentLog()).split('\n')) {
        const message = /"message":"([^"]+)"/.exec(line)?.[1] ?? '';
        if (REPAIRS.test(message)) repairs[message] = (repairs[message] ?? 0) + 1;
      }
    } finally {
      await run[Symbol.asyncDispose]();
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, (_, number) => worker(number)));
  return { seed: options.seed, kills, missed, violations, repairs, tookMs: performance.now() - began };
}

/** The points of a scenario are found by doing it once, when it comes up first. */
function createSchedule(options: KillsOptions) {
  const points = new Map<Scenario, readonly Injection[]>();
  /** Not killed at yet. */
  const left = new Map<Scenario, Injection[]>();
  const isLeft = (scenario: Scenario): boolean => !options.every || left.get(scenario)?.length !== 0;
  return {
    async next(
      run: KillRun,
      random: () => number,
    ): Promise<{ readonly scenario: Scenario; readonly point: Injection } | undefined> {
      for (;;) {
        const wanted = options.scenarios.filter(isLeft);
        if (wanted.length === 0) return undefined;
        const scenario = pick(
          wanted.filter((one) => run.fits(one)),
          random,
        );
        if (!scenario) {
          // What is there must go before it can be installed, and the other way round.
          await run.points(run.fits('install') ? 'install' : 'clean-up');
          continue;
        }
        const known = points.get(scenario);
        if (!known) {
          const found = await run.points(scenario);
          options.onProgress?.(`${scenario}: ${found.length} points`);
          points.set(scenario, found);
          left.set(scenario, shuffled(found, random));
          continue;
        }
        const point = options.point ?? (options.every ? left.get(scenario)?.pop() : pickPoint(known, random));
        if (point) return { scenario, point };
      }
    },
  };
}

/** Early ones more often: they make later ones unlikely to be reached. */
function failingPoint(random: () => number): Injection {
  return { call: pick(FAILING_CALLS, random) ?? 'all', at: 1 + Math.floor(random() ** 2 * 30) };
}

/** Rare calls as often as frequent ones. */
function pickPoint(points: readonly Injection[], random: () => number): Injection | undefined {
  const call = pick([...new Set(points.map((point) => point.call))], random);
  return pick(
    points.filter((point) => point.call === call),
    random,
  );
}
