/**
 * What an agent costs its gateway: memory while nothing happens and while it installs, CPU and bytes of asking for work;
 * beside the bare runtime and beside SWUpdate, which run at the same time, on the same node.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { collect, createClient, type Client } from '@leonore/client';
import { isTerminal, LeonoreError } from '@leonore/protocol';
import {
  type BenchClient,
  type ClientPlace,
  type ClientUsage,
  PLAIN,
  type Runtime,
  AS_INSTALLED,
  startBareRuntime,
  startBundledAgent,
  startSwupdate,
} from './agent-clients.ts';
import { type AgentLiteFigures, measureAgentLite } from './agent-lite.ts';
import { publishBenchArtifact } from './bench-artifact.ts';
import { startNodeProcess } from './node-process.ts';
import { type BenchRow, benchRow } from './report.ts';

export interface AgentBenchOptions {
  readonly runs: number;
  /** Payloads that are installed, bytes. */
  readonly payloads: readonly number[];
  /** How long everything settles, and then is looked at while nothing happens, milliseconds. */
  readonly settleMs: number;
  readonly idleMs: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Two intervals tell what time costs and what a poll costs; SWUpdate's own least is a second. */
const FAST_MS = 100;
const SLOW_MS = 1000;
const MB = 1e6;
const IDLE_AIM_MB = 8;
const INSTALL_AIM_MB = 16;
const POLL_AIM_BYTES = 1000;
const LITE_AIM_MB = 2;

/** Of one client while nothing happens. */
interface Idle {
  readonly rss: number;
  readonly bytesPerPoll: number;
  readonly cpuMs: number;
  readonly polls: number;
  readonly ms: number;
}

/** Of one kind of client in one run. */
interface Kind {
  readonly rss: number;
  readonly bytesPerPoll: number;
  /** At a poll every 30 seconds. */
  readonly cpuMsPerMinute: number;
  /** Peak for each payload, bytes. */
  readonly installing: readonly number[];
}

interface Run {
  readonly bare: Kind;
  readonly plain: Kind;
  readonly installed: Kind;
  readonly swupdate: Kind | undefined;
}

export async function benchAgent(options: AgentBenchOptions): Promise<{ rows: BenchRow[]; missing: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-bench-agent-'));
  try {
    const often = ['--poll', '1s'];
    await using node = await startNodeProcess(join(folder, 'node'), join(folder, 'node.log'), options.signal, often);
    const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
    for (const size of options.payloads)
      await publishBenchArtifact(client, folder, { name: nameOf(size), version: '1.0.0', size }, options.signal);
    const runs: Run[] = [];
    for (let number = 1; number <= options.runs; number++) {
      runs.push(await oneRun({ folder, nodeUrl: node.httpUrl, client }, number, options));
      options.say(`run ${number} of ${options.runs}`);
    }
    const missing = runs.some(({ swupdate }) => swupdate) ? [] : ['SWUpdate: apt-get install swupdate openssl'];
    const lite = await measureAgentLite();
    return { rows: [...rowsOf(runs, options.payloads), ...liteRows(lite)], missing };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const nameOf = (size: number): string => `payload-${size}`;

async function oneRun(place: ClientPlace, number: number, options: AgentBenchOptions): Promise<Run> {
  await using stack = new AsyncDisposableStack();
  const agent = async (runtime: Runtime, pollMs: number) =>
    stack.use(await startBundledAgent(place, `${runtime.name}-${pollMs}-${number}`, runtime, pollMs));
  const bare = async (pollMs: number) => stack.use(await startBareRuntime(place, `bare-${pollMs}-${number}`, pollMs));
  const pairs = {
    bare: [await bare(FAST_MS), await bare(SLOW_MS)],
    plain: [await agent(PLAIN, FAST_MS), await agent(PLAIN, SLOW_MS)],
    installed: [await agent(AS_INSTALLED, FAST_MS), await agent(AS_INSTALLED, SLOW_MS)],
  } as const;
  const swupdate = await startSwupdate(place, `swupdate-${number}`);
  if (swupdate) stack.use(swupdate);
  const all = [...Object.values(pairs).flat(), ...(swupdate ? [swupdate] : [])];
  const idle = await Promise.race([...all.map(({ died }) => died), idleOf(all, options)]);
  const of = (one: BenchClient): Idle => idle.get(one) ?? never(one);
  const kind = ([fast, slow]: readonly [BenchClient, BenchClient], installing: readonly number[]): Kind => ({
    rss: of(slow).rss,
    bytesPerPoll: of(fast).bytesPerPoll,
    cpuMsPerMinute: atHalfAMinute(of(fast), of(slow)),
    installing,
  });
  return {
    bare: kind(pairs.bare, []),
    plain: kind(pairs.plain, await installAll(place.client, pairs.plain[1], options)),
    installed: kind(pairs.installed, await installAll(place.client, pairs.installed[1], options)),
    swupdate: swupdate && {
      rss: of(swupdate).rss,
      bytesPerPoll: of(swupdate).bytesPerPoll,
      cpuMsPerMinute: (2 * of(swupdate).cpuMs) / of(swupdate).polls,
      installing: [],
    },
  };
}

function never(client: BenchClient): never {
  throw new LeonoreError('server.internal', `${client.id} was not looked at`);
}

async function idleOf(
  clients: readonly BenchClient[],
  { settleMs, idleMs, signal }: AgentBenchOptions,
): Promise<Map<BenchClient, Idle>> {
  await delay(settleMs, undefined, { signal });
  const look = async () => ({ at: performance.now(), usages: await Promise.all(clients.map((one) => one.usage())) });
  const before = await look();
  await delay(idleMs, undefined, { signal });
  const after = await look();
  return new Map(
    clients.map((client, i) => {
      const [a, b] = [before.usages[i], after.usages[i]] as [ClientUsage, ClientUsage];
      const polls = b.requests - a.requests;
      if (polls === 0) throw new LeonoreError('server.internal', `${client.id} does not poll; its log says why`);
      const bytes = b.up - a.up + b.down - a.down;
      return [
        client,
        { rss: b.rss, bytesPerPoll: bytes / polls, cpuMs: b.cpuMs - a.cpuMs, polls, ms: after.at - before.at },
      ];
    }),
  );
}

/** CPU is what time costs and what polls cost: two clients that poll unlike as often tell both. */
function atHalfAMinute(fast: Idle, slow: Idle): number {
  const perPoll = (fast.cpuMs / fast.ms - slow.cpuMs / slow.ms) / (fast.polls / fast.ms - slow.polls / slow.ms);
  const perMs = slow.cpuMs / slow.ms - perPoll * (slow.polls / slow.ms);
  return Math.max(0, perMs) * 60_000 + perPoll * 2;
}

/** One payload after the other; the peak of each, bytes. */
async function installAll(
  client: Client,
  gateway: BenchClient,
  { payloads, signal }: AgentBenchOptions,
): Promise<number[]> {
  const peaks: number[] = [];
  for (const size of payloads) {
    await gateway.forgetPeak();
    const applications = [{ name: nameOf(size) }];
    const rollout = await client.rollouts.create({ applications, selector: `id=${gateway.id}`, strategy: 'pull' });
    for (;;) {
      await Promise.race([gateway.died, delay(100, undefined, { signal })]);
      const [task] = await collect(client.rollouts.tasks(rollout.id).all());
      if (!task || !isTerminal(task.state)) continue;
      if (task.state === 'succeeded') break;
      throw new LeonoreError('server.internal', `installing ${nameOf(size)} ${task.state}: ${task.message}`);
    }
    peaks.push((await gateway.usage()).peakRss);
  }
  return peaks;
}

function rowsOf(runs: readonly Run[], payloads: readonly number[]): BenchRow[] {
  const bare = { name: 'bare runtime', of: (run: Run) => run.bare };
  const swupdate = { name: 'SWUpdate', of: (run: Run) => run.swupdate };
  const row = (
    what: string,
    unit: string,
    of: (run: Run) => number,
    beside?: { name: string; of: (run: Run) => number | undefined },
    aim?: number,
  ) =>
    benchRow(what, unit, runs.map(of), {
      ...(beside ? { baseline: { name: beside.name, values: runs.flatMap((run) => beside.of(run) ?? []) } } : {}),
      ...(aim === undefined ? {} : { aim }),
    });
  const rows: BenchRow[] = [];
  for (const how of ['agent', 'agent, plain'] as const) {
    const kind = (run: Run) => (how === 'agent' ? run.installed : run.plain);
    for (const other of [bare, swupdate])
      rows.push(
        row(`${how}: idle`, 'MB', (run) => kind(run).rss / MB, {
          name: other.name,
          of: (run) => other.of(run) && other.of(run)!.rss / MB,
        }),
      );
    rows.push(
      row(
        `${how}: idle, above the bare runtime`,
        'MB',
        (run) => (kind(run).rss - run.bare.rss) / MB,
        undefined,
        IDLE_AIM_MB,
      ),
    );
    for (const [i, size] of payloads.entries())
      rows.push(
        row(
          `${how}: installing ${size / MB} MB, peak above the bare runtime`,
          'MB',
          (run) => ((kind(run).installing[i] ?? 0) - run.bare.rss) / MB,
          undefined,
          INSTALL_AIM_MB,
        ),
      );
    for (const other of [bare, swupdate])
      rows.push(
        row(`${how}: CPU of a minute with polls every 30 s`, 'ms', (run) => kind(run).cpuMsPerMinute, {
          name: other.name,
          of: (run) => other.of(run)?.cpuMsPerMinute,
        }),
      );
  }
  rows.push(row('a poll without work, over the wire', 'B', (run) => run.plain.bytesPerPoll, undefined, POLL_AIM_BYTES));
  for (const other of [bare, swupdate])
    rows.push(
      row('a poll without work, over the wire', 'B', (run) => run.plain.bytesPerPoll, {
        name: other.name,
        of: (run) => other.of(run)?.bytesPerPoll,
      }),
    );
  return rows;
}

function liteRows(figures: readonly AgentLiteFigures[]): BenchRow[] {
  return figures.flatMap(({ shell, http, rssBytes, pollUpBytes, pollDownBytes, bareRssBytes }) => {
    const who = `agent-lite in ${shell} with ${http}`;
    const bare = { name: 'bare shell', values: [bareRssBytes / MB] };
    return [
      benchRow(`${who}: idle`, 'MB', [rssBytes / MB], { aim: LITE_AIM_MB }),
      benchRow(`${who}: idle`, 'MB', [rssBytes / MB], { baseline: bare }),
      benchRow(`${who}: a poll without work, over the wire`, 'B', [pollUpBytes + pollDownBytes], {
        aim: POLL_AIM_BYTES,
      }),
    ];
  });
}
