/**
 * The floor: the same simulated gateways, with the same code and the same connections, on nginx in the node's place.
 * Each makes as many requests as it made for LEONORE, checks every byte, and stops when its last report was answered.
 */
import { Agent } from 'node:http';
import { createHttpClient, createHttpConnectivity } from '@leonore/agent';
import {
  CHUNK_METADATA,
  type DdiDeployment,
  type DdiPoll,
  ddiDeploymentSchema,
  LeonoreError,
  type Strategy,
} from '@leonore/protocol';
import { countingClient } from '../fleet/counting-client.ts';
import { createHeaderReader } from '../fleet/header-reader.ts';
import { seededRandom } from '../fleet/seeded-random.ts';
import { createSignalFan } from '../fleet/signal-fan.ts';
import { createVirtualGateway, type GatewayTraffic } from '../fleet/virtual-gateway.ts';
import type { Nginx, StaticGatewayFiles } from './nginx.ts';
import { familyUsage } from './process-usage.ts';

/** What one gateway was given, to be given again. */
export interface RecordedTask {
  readonly deployment: DdiDeployment;
  readonly package: Uint8Array;
}

export interface FloorRun {
  /** From the start until each gateway's last report was answered, ms. */
  readonly completionsMs: readonly number[];
  readonly requestsPerGateway: number;
  readonly serverCpuSeconds: number | undefined;
}

/** The year 3000. */
const FAR_FUTURE = Date.UTC(3000, 0);
const ACTION_PATH = '/DEFAULT/controller/v1/floor/deploymentBase/1';

/** The files of a static server that gives every gateway this task. */
export function staticFiles(url: string, task: RecordedTask): StaticGatewayFiles {
  const poll: DdiPoll = {
    config: { polling: { sleep: '00:05:00' } },
    _links: { deploymentBase: { href: url + ACTION_PATH } },
  };
  const deployment = structuredClone(task.deployment);
  const [chunk] = deployment.deployment.chunks;
  const [artifact] = chunk?.artifacts ?? [];
  if (!chunk || !artifact) throw new LeonoreError('package.unknown', 'the recorded task has no package');
  artifact._links = { 'download-http': { href: `${url}/package` } };
  for (const entry of chunk.metadata ?? []) {
    if (entry.key === CHUNK_METADATA.expires) entry.value = String(FAR_FUTURE);
  }
  return { poll: JSON.stringify(poll), deployment: JSON.stringify(deployment), package: task.package };
}

export interface Floor extends AsyncDisposable {
  /** All gateways at once. By push a gateway has its task at the start, and its reports go by HTTP, one request for each message. */
  run(strategy: Strategy, gateways: number, signal: AbortSignal): Promise<FloorRun>;
}

/** Whatever serves the files; `pid` for what it costs. */
export type StaticServer = Pick<Nginx, 'url' | 'pid' | 'died'> & AsyncDisposable;

export async function createFloor(
  start: (files: (url: string) => StaticGatewayFiles) => Promise<StaticServer>,
  task: RecordedTask,
): Promise<Floor> {
  const server = await start((url) => staticFiles(url, task));
  const agent = new Agent({ keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY });
  const client = createHttpClient({ agent, userAgent: 'leonore-simulator' });
  const deployment = ddiDeploymentSchema.parse(JSON.parse(staticFiles(server.url, task).deployment));

  async function run(strategy: Strategy, gateways: number, runSignal: AbortSignal): Promise<FloorRun> {
    const traffic: GatewayTraffic = { requests: 0, polls: 0, messagesSent: 0, messagesReceived: 0, packageBytes: 0 };
    const counting = countingClient(client, traffic);
    const completionsMs: number[] = [];
    const readHeader = createHeaderReader();
    using signals = createSignalFan(runSignal);
    const before = await familyUsage(server.pid);
    const startedAt = performance.now();
    const members = Array.from({ length: gateways }, (_, index) => {
      const id = `floor-${index}`;
      return createVirtualGateway({
        id,
        http: createHttpConnectivity({ server: server.url, tenant: 'default', id, secret: 'floor', client: counting }),
        traffic,
        random: seededRandom(index),
        now: Date.now,
        readHeader,
        signal: signals.next(),
        onEnd(_gateway, { outcome }) {
          if (outcome === 'succeeded') completionsMs.push(performance.now() - startedAt);
        },
      });
    });
    await Promise.all(members.map((member) => (strategy === 'pull' ? member.poll() : member.take(deployment))));
    const missing = members.find(({ outcomes }) => outcomes.succeeded !== 1);
    if (missing) throw new LeonoreError('server.internal', `the floor failed for ${missing.id}: ${missing.lastFault}`);
    const after = await familyUsage(server.pid);
    return {
      completionsMs,
      requestsPerGateway: traffic.requests / gateways,
      serverCpuSeconds: before && after ? after.cpuSeconds - before.cpuSeconds : undefined,
    };
  }

  return {
    run: (strategy, gateways, runSignal) => Promise.race([server.died, run(strategy, gateways, runSignal)]),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      agent.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}
