/**
 * How long it takes until a fleet has a new version: one node in a process of its own, its gateways simulated in this
 * one, by push and by pull, beside nginx serving the same bytes to the same gateways. Every run brings an artifact version of its own, so every run is a real
 * change; every byte is checked; what the gateways counted must be what the node counted, or there is no result.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient } from '@leonore/client';
import { LeonoreError, type Rollout, type Strategy } from '@leonore/protocol';
import { type Fleet, simulateFleet } from '../fleet/fleet.ts';
import type { TaskEnd, VirtualGateway } from '../fleet/virtual-gateway.ts';
import { publishBenchArtifact } from './bench-artifact.ts';
import { createFloor, type Floor, type FloorRun, type RecordedTask } from './floor.ts';
import { findNginx, NGINX_MISSING, startNginx } from './nginx.ts';
import { type NodeProcess, startNodeProcess } from './node-process.ts';
import { type ProcessUsage, processUsage } from './process-usage.ts';

export interface ProvisionBenchOptions {
  readonly gateways: number;
  readonly runs: number;
  /** Time between two polls of a gateway that pulls. */
  readonly pollIntervalMs: number;
  /** Seconds that the node may hold a poll while there is no work; 0: not at all. */
  readonly waitSeconds: number;
  /** Of the artifact's one file, bytes. */
  readonly payloadBytes: number;
  readonly seed: number;
  /** Measure nginx beside it, where it is installed. */
  readonly floor: boolean;
  /** A line for people who watch. */
  readonly say: (line: string) => void;
}

/** One rollout to the whole fleet. */
export interface ProvisionRun {
  /** From the request until each gateway's report of success was taken, ms. */
  readonly completionsMs: readonly number[];
  /** HTTP requests and MQTT messages of one gateway that belong to its task; idle polls do not. */
  readonly requestsPerGateway: number;
  readonly nodeCpuSeconds: number;
  readonly simulatorCpuSeconds: number;
}

export interface StrategyResult {
  readonly strategy: Strategy;
  readonly runs: readonly ProvisionRun[];
  /** Empty when nginx is missing. */
  readonly floor: readonly FloorRun[];
}

export interface ProvisionResult {
  readonly strategies: readonly StrategyResult[];
  /** Of the node, at the end. */
  readonly nodeUsage: ProcessUsage;
  /** Why there is no floor. */
  readonly floorMissing: string | undefined;
}

const ARTIFACT = 'bench-svm';
const RUN_TIMEOUT_MS = 120_000;
/** Gateways that are pushed to poll too, seldom, as real ones do. */
const REPAIR_POLL_MS = 300_000;

interface Stage {
  readonly node: NodeProcess;
  readonly client: Client;
  readonly folder: string;
  readonly options: ProvisionBenchOptions;
  readonly signal: AbortSignal;
}

export async function benchProvision(options: ProvisionBenchOptions, signal: AbortSignal): Promise<ProvisionResult> {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-bench-'));
  try {
    const nginx = options.floor ? await findNginx() : undefined;
    await using node = await startNodeProcess(join(folder, 'data'), join(folder, 'node.log'), signal);
    const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
    const stage: Stage = { node, client, folder, options, signal };
    await using floors = new AsyncDisposableStack();
    let floor: Floor | undefined;
    const floorFor = async (task: RecordedTask): Promise<Floor | undefined> => {
      if (nginx !== undefined)
        floor ??= floors.use(await createFloor((files) => startNginx(nginx, files, signal), task));
      return floor;
    };
    const strategies = [
      await Promise.race([node.died, benchStrategy(stage, 'push', floorFor)]),
      await Promise.race([node.died, benchStrategy(stage, 'pull', floorFor)]),
    ];
    const nodeUsage = await usageOf(node.pid);
    return { strategies, nodeUsage, floorMissing: options.floor && nginx === undefined ? NGINX_MISSING : undefined };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function benchStrategy(
  stage: Stage,
  strategy: Strategy,
  floorFor: (task: RecordedTask) => Promise<Floor | undefined>,
): Promise<StrategyResult> {
  const { client, options, signal } = stage;
  const { gateways: count, say } = options;
  const token = await client.tokens.create({ uses: count, labels: { bench: strategy } }, { signal });
  let ends: { end: TaskEnd; at: number }[] = [];
  const startedAt = performance.now();
  const runs: ProvisionRun[] = [];
  const floor: FloorRun[] = [];
  let recorded: RecordedTask | undefined;
  const fleet = await simulateFleet(
    {
      serverUrl: stage.node.httpUrl,
      enrolmentToken: token.token ?? '',
      count,
      idPrefix: `bench-${strategy}`,
      strategy,
      pollIntervalMs: strategy === 'pull' ? options.pollIntervalMs : REPAIR_POLL_MS,
      waitSeconds: options.waitSeconds,
      seed: options.seed,
      onEnd: (_gateway, end) => ends.push({ end, at: performance.now() }),
    },
    signal,
  );
  try {
    say(`${strategy}: ${count} gateways are there after ${seconds(performance.now() - startedAt)}`);
    for (let number = 1; number <= options.runs; number++) {
      ends = [];
      const run = await provisionOnce(stage, fleet, strategy, number, ends);
      runs.push(run);
      say(`${strategy} run ${number} of ${options.runs}: ${seconds(Math.max(...run.completionsMs))}`);
      recorded ??= await recordTask(client, ends[0]?.end, signal);
      // While gateways that pull keep polling, nginx would not have the machine to itself.
      if (strategy === 'push') await floorRun();
    }
  } finally {
    await fleet[Symbol.asyncDispose]();
  }
  if (strategy === 'pull') for (let number = 1; number <= options.runs; number++) await floorRun();
  return { strategy, runs, floor };

  async function floorRun(): Promise<void> {
    const served = recorded && (await floorFor(recorded));
    if (!served) return;
    const run = await served.run(strategy, count, runSignal(signal));
    floor.push(run);
    say(`${strategy} floor: ${seconds(Math.max(...run.completionsMs))}`);
  }
}

async function provisionOnce(
  stage: Stage,
  fleet: Fleet,
  strategy: Strategy,
  number: number,
  ends: readonly { end: TaskEnd; at: number }[],
): Promise<ProvisionRun> {
  const { client, node, options } = stage;
  const signal = runSignal(stage.signal);
  const version = `${strategy === 'push' ? 1 : 2}.0.${number}`;
  await publishBenchArtifact(client, stage.folder, { name: ARTIFACT, version, size: options.payloadBytes }, signal);
  const before = { traffic: fleet.stats(), node: await usageOf(node.pid), simulator: process.cpuUsage() };
  const startedAt = performance.now();
  const request = { applications: [{ name: ARTIFACT, range: version }], selector: `bench=${strategy}`, strategy };
  const rollout = await client.rollouts.create(request, { signal });
  await fleet.waitForAll(number, signal);
  const after = {
    traffic: fleet.stats(),
    node: await usageOf(node.pid),
    simulator: process.cpuUsage(before.simulator),
  };
  await checkRun(stage, fleet, rollout, version, ends, signal);
  const idlePolls = after.traffic.polls - before.traffic.polls - (strategy === 'pull' ? options.gateways : 0);
  const requests = after.traffic.requests - before.traffic.requests - Math.max(0, idlePolls);
  const messages = after.traffic.messagesSent - before.traffic.messagesSent;
  return {
    completionsMs: ends.map(({ at }) => at - startedAt),
    requestsPerGateway: (requests + messages) / options.gateways,
    nodeCpuSeconds: after.node.cpuSeconds - before.node.cpuSeconds,
    simulatorCpuSeconds: (after.simulator.user + after.simulator.system) / 1e6,
  };
}

/** @throws LeonoreError unless every gateway has the version, and the node says so too. */
async function checkRun(
  stage: Stage,
  fleet: Fleet,
  rollout: Rollout,
  version: string,
  ends: readonly { end: TaskEnd }[],
  signal: AbortSignal,
): Promise<void> {
  let now = rollout;
  while (now.state === 'running') {
    await delay(20, undefined, { signal });
    now = await stage.client.rollouts.get(rollout.id, { signal });
  }
  const outcomes = ends.map(({ end }) => end);
  const fault = findFault(fleet.gateways(), outcomes, { name: ARTIFACT, version }, now);
  if (fault !== undefined) throw new LeonoreError('server.internal', `the run does not count: ${fault}`);
}

/** Why a run is no result; undefined when every gateway has the version and the node counted the same. Pure. */
export function findFault(
  gateways: readonly Pick<VirtualGateway, 'id' | 'installed' | 'lastFault'>[],
  ends: readonly Pick<TaskEnd, 'outcome' | 'reason'>[],
  artifact: { name: string; version: string },
  rollout: Pick<Rollout, 'id' | 'state' | 'counts'>,
): string | undefined {
  const count = gateways.length;
  const failed = ends.filter(({ outcome }) => outcome !== 'succeeded');
  if (failed.length > 0) {
    return `${failed.length} of ${count} gateways did not succeed: ${failed[0]?.reason ?? 'no reason given'}`;
  }
  if (ends.length !== count) return `${ends.length} tasks ended for ${count} gateways`;
  const without = gateways.find(
    ({ installed }) => !installed.some(({ name, version }) => name === artifact.name && version === artifact.version),
  );
  if (without)
    return `${without.id} has no ${artifact.name} ${artifact.version}: ${without.lastFault ?? 'nobody knows why'}`;
  if (rollout.state !== 'succeeded' || rollout.counts.succeeded !== count) {
    const { id, state, counts } = rollout;
    return `every gateway reported success, the node says that rollout ${id} is ${state} with ${counts.succeeded} of ${count}`;
  }
  return undefined;
}

async function recordTask(client: Client, end: TaskEnd | undefined, signal: AbortSignal): Promise<RecordedTask> {
  if (!end?.task || !end.deployment) throw new LeonoreError('server.internal', 'no task was recorded');
  const answer = await client.packages.download(end.task.headerSha256, {}, { signal });
  return { deployment: end.deployment, package: new Uint8Array(await answer.arrayBuffer()) };
}

function runSignal(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(RUN_TIMEOUT_MS)]);
}

async function usageOf(pid: number): Promise<ProcessUsage> {
  const usage = await processUsage(pid);
  if (!usage) throw new LeonoreError('config.invalid', 'this benchmark reads /proc, so it runs on Linux only');
  return usage;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
