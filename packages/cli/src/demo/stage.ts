/**
 * Everything that runs in the demo, set up in order and taken down the other way round: folder, node, examples, gateways.
 * Leaves to others: what is shown with it (commands/demo.ts).
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, collect, createClient } from '@leonore/client';
import { LeonoreError } from '@leonore/protocol';
import { publishFolder } from '../commands/artifact-publish.ts';
import type { NodeReady } from '../commands/node.ts';
import type { Terminal } from '../terminal.ts';
import { endApplications } from '@leonore/agent';
import { GATEWAY_COUNT, REAL_GATEWAYS, SIMULATED_FLEETS, simulatedProfile } from './cast.ts';
import { type Child, startChild } from './child.ts';

export interface Stage extends AsyncDisposable {
  readonly folder: string;
  readonly client: Client;
  readonly node: NodeReady;
  readonly published: readonly string[];
  /** Rejects when a part ends by itself. */
  readonly broken: Promise<never>;
}

const POLL_MS = 1000;
const READY_WITHIN_MS = 30_000;

export async function setUpStage(terminal: Terminal, say: (line: string) => void): Promise<Stage> {
  const { signal } = terminal;
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'leonore-demo-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const children: Child[] = [];

  const building = buildExamplesIn(join(folder, 'examples'), signal);
  building.catch(() => undefined);
  // Whatever is being built must be over before the folder goes.
  stack.defer(async () => void (await building.catch(() => undefined)));
  const nodeChild = stack.use(await startNode(folder, terminal));
  children.push(nodeChild);
  const node = (await nodeChild.ready(AbortSignal.any([signal, AbortSignal.timeout(READY_WITHIN_MS)]))) as NodeReady;
  say(`a node at ${node.httpUrl}`);

  const token = (await readFile(node.adminTokenFile, 'utf8')).trim();
  const client = createClient({ baseUrl: node.httpUrl, token });
  const published = await publishExamples(client, await building, terminal, say);

  const enrolment = await client.tokens.create({ uses: GATEWAY_COUNT, ttlSeconds: 3600 }, { signal });
  const enrolmentToken = enrolment.token ?? '';
  // Deferred before they are started: the agents end first, then what they had started.
  stack.defer(() => endApplications(folder));
  for (const gateway of REAL_GATEWAYS) {
    const root = join(folder, 'gateways', gateway.id);
    await mkdir(root, { recursive: true });
    const child = startChild({
      name: `the agent ${gateway.id}`,
      logFile: join(folder, `${gateway.id}.log`),
      env: terminal.env,
      args: [
        'agent',
        ...options({ server: node.httpUrl, token: enrolmentToken, id: gateway.id, root }),
        ...options({ strategy: gateway.strategy, poll: `${POLL_MS}ms` }),
        '--stop-applications',
        ...Object.entries(gateway.labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
        ...(gateway.override ? ['--override', JSON.stringify(gateway.override)] : []),
      ],
    });
    stack.use(child);
    children.push(child);
  }
  say(
    `${REAL_GATEWAYS.length} real agents: ${REAL_GATEWAYS.map(({ id, strategy }) => `${id} (${strategy})`).join(', ')}`,
  );

  const { simulateFleet } = await import('@leonore/evaluation');
  for (const { idPrefix, strategy, count } of SIMULATED_FLEETS) {
    const common = { serverUrl: node.httpUrl, enrolmentToken, pollIntervalMs: POLL_MS, profile: simulatedProfile };
    stack.use(await simulateFleet({ ...common, idPrefix, strategy, count }, signal));
    say(`${count} simulated gateways that ${strategy === 'pull' ? 'pull' : 'are pushed to'}`);
  }
  const broken = Promise.race(children.map((child) => child.died));
  broken.catch(() => undefined);
  await Promise.race([broken, allReady(client, signal)]);

  const parts = stack.move();
  return { folder, client, node, published, broken, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

function options(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, value]);
}

async function buildExamplesIn(outDir: string, signal: AbortSignal) {
  const examples = await import('@leonore/examples').catch((error: unknown) => {
    throw new LeonoreError('config.invalid', 'the examples are not here; run the demo in a clone of the project', {
      cause: error,
    });
  });
  return examples.buildExamples(outDir, { signal });
}

/** Where everybody looks first, if nobody is there yet; else anywhere. */
async function startNode(folder: string, terminal: Terminal): Promise<Child> {
  const [http, mqtt] = await Promise.all([freePort(8080), freePort(1883)]);
  return startChild({
    name: 'the node',
    logFile: join(folder, 'node.log'),
    env: terminal.env,
    args: [
      'node',
      ...options({ data: join(folder, 'node'), http: `127.0.0.1:${http}`, mqtt: `127.0.0.1:${mqtt}`, poll: '30s' }),
    ],
  });
}

/** `wanted` when nobody has it, else 0 for any. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  try {
    await new Promise<void>((done, failed) => {
      server.once('error', failed);
      server.listen(wanted, '127.0.0.1', done);
    });
    return wanted;
  } catch {
    return 0;
  } finally {
    if (server.listening) await new Promise((done) => server.close(done));
  }
}

async function publishExamples(
  client: Client,
  built: Awaited<ReturnType<typeof buildExamplesIn>>,
  terminal: Terminal,
  say: (line: string) => void,
): Promise<string[]> {
  const published: string[] = [];
  for (const dir of built.dirs) {
    const { artifact } = await publishFolder(client, dir, terminal);
    published.push(artifact.manifest.name);
    say(`published ${artifact.manifest.name} ${artifact.manifest.version}`);
  }
  for (const { name, reason } of built.skipped) say(`without ${name}: ${reason}`);
  return published;
}

/** Everybody has enrolled, and who takes pushes is connected. */
async function allReady(client: Client, signal: AbortSignal): Promise<void> {
  const until = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const gateways = await collect(client.gateways.all({ signal }));
    const ready = gateways.filter(
      ({ connected, profile }) => profile.os !== undefined && (connected || !profile.strategies.includes('push')),
    );
    if (ready.length >= GATEWAY_COUNT) return;
    if (performance.now() > until) {
      throw new LeonoreError(
        'server.internal',
        `only ${ready.length} of ${GATEWAY_COUNT} gateways came up within ${READY_WITHIN_MS / 1000} s`,
      );
    }
    await delay(100, undefined, { signal });
  }
}
