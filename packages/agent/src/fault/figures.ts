/** What a run of kills has found, and how it is printed. */

export interface Kill {
  readonly scenario: string;
  readonly call: string;
  readonly at: number;
  /** What was going on, by what the agent had left on disk. */
  readonly phase: string;
  /** The version that ran when it was up again. */
  readonly outcome: 'old' | 'new';
  /** Killed once more while it was coming up. */
  readonly again: boolean;
  /** From the start of the next agent until everything was in order, ms. */
  readonly recoveryMs: number;
}

export interface Violation {
  readonly scenario: string;
  readonly call: string;
  readonly at: number;
  readonly phase: string;
  readonly faults: readonly string[];
  /** The last lines of the agent's log. */
  readonly log: readonly string[];
}

export interface Figures {
  readonly seed: number;
  readonly kills: readonly Kill[];
  /** Points that were not reached before the task had ended. */
  readonly missed: number;
  readonly violations: readonly Violation[];
  /** Of the agents' logs: how often they said so. */
  readonly repairs: Readonly<Record<string, number>>;
  readonly tookMs: number;
}

export function summary(figures: Figures): string {
  const { kills, missed, violations, tookMs, seed } = figures;
  const times = kills.map(({ recoveryMs }) => recoveryMs).toSorted((a, b) => a - b);
  const percentile = (share: number): number => Math.round(times[Math.floor((times.length - 1) * share)] ?? 0);
  const again = kills.filter((kill) => kill.again).length;
  return [
    `seed ${seed}: ${kills.length} kills in ${Math.round(tookMs / 1000)} s (${(kills.length / (tookMs / 1000)).toFixed(2)}/s), ${again} of them with a second one while the agent came up; ${missed} points were not reached`,
    `old version whole: ${kills.filter(({ outcome }) => outcome === 'old').length}, new version whole: ${kills.filter(({ outcome }) => outcome === 'new').length}`,
    `until everything was in order, from the next start on: median ${percentile(0.5)} ms, 95 % ${percentile(0.95)} ms, worst ${percentile(1)} ms`,
    '',
    table('scenario', kills, ({ scenario }) => scenario),
    '',
    table('killed in', kills, ({ phase }) => phase),
    '',
    table('before', kills, ({ call }) => call),
    '',
    ...Object.entries(figures.repairs).map(([what, count]) => `${String(count).padStart(6)}  ${what}`),
    '',
    `violations: ${violations.length}`,
    ...violations.flatMap((one) => [
      `  ${one.scenario}, before ${one.call} ${one.at}, ${one.phase} (--scenario ${one.scenario} --at ${one.call}:${one.at}):`,
      ...one.faults.map((fault) => `    ${fault}`),
      ...one.log.map((line) => `      | ${line}`),
    ]),
  ].join('\n');
}

function table(title: string, kills: readonly Kill[], key: (kill: Kill) => string): string {
  const groups = Map.groupBy(kills, key);
  const rows = [...groups].toSorted((a, b) => b[1].length - a[1].length);
  return [
    `${'kills'.padStart(6)}  ${title}`,
    ...rows.map(([name, those]) => {
      const old = those.filter(({ outcome }) => outcome === 'old').length;
      return `${String(those.length).padStart(6)}  ${name} (old ${old}, new ${those.length - old})`;
    }),
  ].join('\n');
}
