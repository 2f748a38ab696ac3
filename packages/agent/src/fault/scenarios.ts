/** What the agent is killed in: each scenario is one task, with what must be there after it. */
import { build, type Build, type Flaw } from './builds.ts';
import type { TaskSketch } from '../test-support/packages.ts';
import type { Installed } from './invariant.ts';

export const SCENARIOS = ['install', 'update', 'rollback', 'clean-up', 'update-by-delta'] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface Undertaking {
  readonly scenario: Scenario;
  readonly task: TaskSketch;
  readonly builds: readonly Build[];
  readonly after: Installed;
  readonly expect: 'success' | 'failure';
}

export interface Situation {
  readonly id: number;
  readonly installed: Installed;
  readonly log: string;
  /** The tars of what is installed. */
  readonly tars: ReadonlyMap<string, Buffer>;
  /** 0 <= x < 1. */
  readonly random: () => number;
}

/** Whether it can be done now: what is removed must be there, what is installed must not. */
export function fits(scenario: Scenario, installed: Installed): boolean {
  if (!installed.has('app')) return false;
  if (scenario === 'install') return !installed.has('tool');
  if (scenario === 'clean-up') return installed.has('tool');
  return true;
}

/** The beginning: base and app. */
export function beginning({ id, log }: Pick<Situation, 'id' | 'log'>): Undertaking {
  const builds = [
    build({ name: 'base', version: versionOf(id), log }),
    build({ name: 'app', version: versionOf(id), log }),
  ];
  return {
    scenario: 'install',
    task: { id, components: builds.map(({ sketch }) => sketch) },
    builds,
    after: new Map(builds.map((one) => [one.name, one])),
    expect: 'success',
  };
}

export function undertake(scenario: Scenario, situation: Situation): Undertaking {
  const { id, installed, log, tars } = situation;
  const version = versionOf(id);
  if (scenario === 'install') {
    const tool = build({ name: 'tool', version, log });
    const task = { id, components: [tool.sketch], keep: kept(installed) };
    return { scenario, task, builds: [tool], after: new Map([...installed, ['tool', tool]]), expect: 'success' };
  }
  if (scenario === 'clean-up') {
    const after = new Map([...installed].filter(([name]) => name !== 'tool'));
    const tool = installed.get('tool');
    const task = { id, remove: [{ name: 'tool', version: tool?.version ?? '' }], keep: kept(after) };
    return { scenario, task, builds: [], after, expect: 'success' };
  }
  const flaw = scenario === 'rollback' ? flawOf(situation.random()) : undefined;
  const builds = (['base', 'app'] as const).map((name) =>
    build({
      name,
      version,
      log,
      flaw: name === 'app' ? flaw : undefined,
      replaces: installed.get(name)?.version,
      deltaFrom: scenario === 'update-by-delta' ? tars.get(name) : undefined,
    }),
  );
  const others = new Map([...installed].filter(([name]) => name !== 'base' && name !== 'app'));
  const after = new Map([...builds.map((one) => [one.name, one] as const), ...others]);
  const task = { id, components: builds.map(({ sketch }) => sketch), keep: kept(others) };
  return { scenario, task, builds, after: flaw ? installed : after, expect: flaw ? 'failure' : 'success' };
}

function flawOf(random: number): Flaw {
  return random < 0.4 ? 'exits' : random < 0.8 ? 'install-fails' : 'unwell';
}

function versionOf(id: number): string {
  return `1.0.${id}`;
}

function kept(installed: Installed): { name: string; version: string; after: string[] }[] {
  return [...installed.values()].map(({ name, version, sketch }) => ({
    name,
    version,
    after: [...(sketch.after ?? [])],
  }));
}
