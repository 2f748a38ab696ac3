/**
 * A fleet of simulated gateways in one process: enrols them, keeps their polls and sessions going, tells how they fare.
 * Connections are shared and kept, polls share one timer, nothing lies on disk: thousands fit. The same seed gives the
 * same secrets and the same moments, so a fleet can come back to its node.
 */
import { Agent } from 'node:http';
import { type AgentTask, createHttpClient, createHttpConnectivity, type MqttConnectivity } from '@leonore/agent';
import {
  type DdiCancel,
  type DdiDeployment,
  type GatewayProfile,
  gatewayProfileSchema,
  LeonoreError,
  type Strategy,
} from '@leonore/protocol';
import { enrolPatiently, openSession } from './coming-up.ts';
import { countingClient } from './counting-client.ts';
import { createEndCounter } from './end-counter.ts';
import { createHeaderReader } from './header-reader.ts';
import { inParallel } from './in-parallel.ts';
import { createPollWheel } from './poll-wheel.ts';
import { seededRandom, seededSecret } from './seeded-random.ts';
import { createSignalFan } from './signal-fan.ts';
import {
  createVirtualGateway,
  type DrivenGateway,
  type GatewayTraffic,
  TASK_OUTCOMES,
  type TaskEnd,
  type TaskOutcome,
  type VirtualGateway,
} from './virtual-gateway.ts';

export interface FleetOptions {
  /** Such as http://127.0.0.1:8080. */
  readonly serverUrl: string;
  /** Must be good for `count` gateways. */
  readonly enrolmentToken: string;
  readonly count: number;
  /** Gateways are called PREFIX-0001 and so on. */
  readonly idPrefix: string;
  /** `push`: keeps an MQTT session, and polls too, as a real gateway does to repair what was lost. */
  readonly strategy: Strategy;
  /** What gateway `index` (from 0) says of itself beside the defaults. */
  readonly profile?: (index: number) => Partial<GatewayProfile>;
  /** Time between two polls of one gateway. */
  readonly pollIntervalMs: number;
  /** Seconds that the server may hold a poll when there is no work; 0 (the default): not at all. */
  readonly waitSeconds?: number;
  readonly maxConcurrentEnrolments?: number;
  /** Decides everything random. */
  readonly seed?: number;
  /** A gateway's report of success was taken. `ms`: since it heard of the task. */
  readonly onCompletion?: (gateway: VirtualGateway, task: AgentTask, ms: number) => void;
  /** A task ended, however it did. */
  readonly onEnd?: (gateway: VirtualGateway, end: TaskEnd) => void;
  /** While the fleet comes up: how many gateways are ready. */
  readonly onReady?: (ready: number) => void;
}

export interface FleetStats extends Readonly<GatewayTraffic>, Readonly<Record<TaskOutcome, number>> {
  readonly gateways: number;
  readonly connected: number;
  readonly busy: number;
}

export interface Fleet extends AsyncDisposable {
  stats(): FleetStats;
  gateways(): readonly VirtualGateway[];
  /** Fulfilled when every gateway has ended at least this many tasks since the fleet came up, with success or without. */
  waitForAll(taskCount?: number, signal?: AbortSignal): Promise<void>;
}

const DEFAULT_SEED = 1;
const ENROLMENTS_AT_ONCE = 32;

interface Member {
  readonly gateway: DrivenGateway;
  session: MqttConnectivity | undefined;
}

/** The fleet, when every gateway is enrolled and (push) connected. @throws LeonoreError of the first gateway that cannot be. */
export async function simulateFleet(options: FleetOptions, signal?: AbortSignal): Promise<Fleet> {
  checkOptions(options);
  const { count, strategy, serverUrl: server, seed = DEFAULT_SEED } = options;
  const stopped = new AbortController();
  const stop = (): void =>
    stopped.abort(signal?.reason ?? new LeonoreError('server.stopping', 'the fleet was stopped'));
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();

  const traffic: GatewayTraffic = { requests: 0, polls: 0, messagesSent: 0, messagesReceived: 0, packageBytes: 0 };
  const sharedAgent = new Agent({ keepAlive: true, maxFreeSockets: count });
  const client = countingClient(createHttpClient({ agent: sharedAgent, userAgent: 'leonore-simulator' }), traffic);
  const members: Member[] = [];
  const sessions = new Set<MqttConnectivity>();
  const ends = createEndCounter();
  const signals = createSignalFan(stopped.signal);
  const readHeader = createHeaderReader();
  let wheel: Disposable | undefined;

  const bringUp = async (index: number): Promise<void> => {
    const id = gatewayId(options, index);
    const secret = seededSecret(seed, id);
    const random = seededRandom(seed + index);
    const own = signals.next();
    const profile = profileOf(options, index);
    const request = { server, token: options.enrolmentToken, id, secret, profile, client };
    const answer = await enrolPatiently(request, random, own);
    const gateway = createVirtualGateway({
      id,
      http: createHttpConnectivity({ server, secret, client, ...answer }),
      mqtt: () => member.session,
      traffic,
      installed: profile.installed ?? [],
      random,
      now: Date.now,
      readHeader,
      signal: own,
      waitSeconds: options.waitSeconds,
      onEnd(ended, end) {
        options.onEnd?.(ended, end);
        if (end.outcome === 'succeeded' && end.task) options.onCompletion?.(ended, end.task, end.ms);
        ends.note(ended);
      },
    });
    const member: Member = { gateway, session: undefined };
    members[index] = member;
    if (strategy === 'pull') return;
    const heard = (work: Promise<void>): void => {
      traffic.messagesReceived += 1;
      void work;
    };
    const pushed = {
      answer,
      secret,
      random,
      onTask: (deployment: DdiDeployment) => heard(gateway.take(deployment)),
      onCancel: (cancel: DdiCancel) => heard(gateway.cancel(cancel.cancelAction.stopId)),
    };
    member.session = await openSession(pushed, (session) => sessions.add(session), own);
  };

  const dispose = async (): Promise<void> => {
    stop();
    wheel?.[Symbol.dispose]();
    signals[Symbol.dispose]();
    signal?.removeEventListener('abort', stop);
    await Promise.all([...sessions].map((session) => session[Symbol.asyncDispose]()));
    client[Symbol.dispose]();
    sharedAgent.destroy();
  };

  try {
    let ready = 0;
    await inParallel(count, options.maxConcurrentEnrolments ?? ENROLMENTS_AT_ONCE, async (index) => {
      stopped.signal.throwIfAborted();
      await bringUp(index);
      options.onReady?.(++ready);
    });
  } catch (error) {
    await dispose();
    throw error;
  }
  wheel = createPollWheel({
    members: count,
    intervalMs: options.pollIntervalMs,
    random: seededRandom(seed),
    onDue: (index) => void members[index]?.gateway.poll(),
  });

  return {
    gateways: () => members.map(({ gateway }) => gateway),
    stats: () => ({ ...summed(members), ...traffic }),
    waitForAll: (taskCount = 1, waitSignal) =>
      ends.waitForAll(
        members.map(({ gateway }) => gateway),
        taskCount,
        AbortSignal.any([stopped.signal, ...(waitSignal ? [waitSignal] : [])]),
      ),
    [Symbol.asyncDispose]: dispose,
  };
}

function summed(members: readonly Member[]): Omit<FleetStats, keyof GatewayTraffic> {
  const sum = { gateways: members.length, connected: 0, busy: 0, succeeded: 0, failed: 0, rejected: 0, canceled: 0 };
  for (const { gateway } of members) {
    if (gateway.connected) sum.connected += 1;
    if (gateway.busy) sum.busy += 1;
    for (const outcome of TASK_OUTCOMES) sum[outcome] += gateway.outcomes[outcome];
  }
  return sum;
}

function checkOptions({ count, pollIntervalMs }: FleetOptions): void {
  if (!Number.isInteger(count) || count < 1) {
    throw new LeonoreError(
      'config.invalid',
      `a fleet of ${count} gateways cannot be; count is a whole number from 1 on`,
    );
  }
  if (!(pollIntervalMs >= 10)) {
    throw new LeonoreError('config.invalid', `pollIntervalMs is ${pollIntervalMs}; it must be 10 or more`);
  }
}

function gatewayId({ idPrefix, count }: FleetOptions, index: number): string {
  return `${idPrefix}-${String(index + 1).padStart(Math.max(4, String(count).length), '0')}`;
}

function profileOf({ profile, strategy }: FleetOptions, index: number): GatewayProfile {
  return gatewayProfileSchema.parse({
    agent: { name: 'leonore-simulator', version: '0.1.0' },
    os: 'linux',
    arch: 'x64',
    libc: 'glibc',
    cpu: { cores: 1 },
    memory: { total: 256 * 2 ** 20, free: 128 * 2 ** 20 },
    disk: { total: 2 ** 30, free: 2 ** 29 },
    encodings: ['gzip'],
    strategies: strategy === 'push' ? ['push', 'pull'] : ['pull'],
    installed: [],
    // It never changes it, so any will do.
    revision: 'simulated',
    ...profile?.(index),
  });
}
