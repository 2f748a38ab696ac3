/** A site for end-to-end tests: one real node, a client for it, and real agents, in temporary folders that go with it. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { packArtifact } from '@leonore/app-package';
import { createClient, type Client } from '@leonore/client';
import { isTerminal, type Artifact, type Rollout, type Task } from '@leonore/protocol';
import { writeArtifact, type ArtifactFiles } from './artifacts.ts';
import {
  endApplications,
  freePort,
  startAgentProcess,
  startNodeProcess,
  temporaryFolder,
  type AgentProgram,
  type NodeProcess,
  type Process,
} from './processes.ts';
import { waitFor } from './wait.ts';

export interface Site extends AsyncDisposable {
  readonly dir: string;
  node: NodeProcess;
  readonly client: Client;
  publish(files: ArtifactFiles): Promise<Artifact>;
  /** Ends the node the hard way (or another) and starts it again at the same addresses. */
  restartNode(signal: NodeJS.Signals): Promise<void>;
  /** Starts an agent and waits until the node knows it (and, for push, until it is connected). */
  agent(id: string, options?: AgentOptions): Promise<SiteAgent>;
  /** Waits until every task of the rollout has ended. */
  ended(rollout: Rollout, timeoutMs?: number): Promise<{ rollout: Rollout; tasks: readonly Task[] }>;
  /** Creates a rollout and waits for its end. */
  provision(wanted: Parameters<Client['rollouts']['create']>[0]): Promise<{ rollout: Rollout; tasks: readonly Task[] }>;
}

export interface AgentOptions {
  readonly strategy?: 'pull' | 'push';
  readonly labels?: Readonly<Record<string, string>>;
  readonly poll?: string;
  readonly args?: readonly string[];
  /** Instead of `leonore agent`. */
  readonly program?: AgentProgram;
}

export interface SiteAgent extends AsyncDisposable {
  readonly id: string;
  readonly root: string;
  process: Process;
  /** Starts it again after it was killed, with the same folder. */
  restart(): Promise<void>;
}

export async function startSite(options: { nodeArgs?: readonly string[] } = {}): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await temporaryFolder());
  stack.defer(() => endApplications(dir));
  const dataDir = join(dir, 'node');
  const ports = { httpPort: await freePort(), mqttPort: await freePort() };
  const start = () =>
    startNodeProcess({ dataDir, ...ports, args: ['--log-level', 'warn', ...(options.nodeArgs ?? [])] });
  let node = await start();
  stack.defer(() => node[Symbol.asyncDispose]());
  const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
  const resources = stack.move();

  const site: Site = {
    dir,
    node,
    client,
    async publish(files) {
      const source = await writeArtifact(await mkdtemp(join(dir, 'artifact-')), files);
      const packed = await packArtifact(source, { outDir: await mkdtemp(join(dir, 'packed-')) });
      for (const { file, sha256, size } of packed.segments) await client.uploadFile(file, sha256, size);
      const segments = packed.segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size }));
      return (await client.artifacts.publish({ manifest: packed.manifest, segments })).artifact;
    },
    async restartNode(signal) {
      await node.kill(signal);
      node = await start();
      site.node = node;
    },
    async agent(id, agentOptions = {}) {
      const root = join(dir, id);
      const { token } = await client.tokens.create();
      const launch = () =>
        startAgentProcess({
          server: node.httpUrl,
          id,
          root,
          ...(token === undefined ? {} : { token }),
          ...agentOptions,
        });
      const agent: SiteAgent = {
        id,
        root,
        process: launch(),
        async restart() {
          await agent.process.kill('SIGKILL');
          agent.process = launch();
        },
        [Symbol.asyncDispose]: () => agent.process[Symbol.asyncDispose](),
      };
      resources.use(agent);
      await waitFor(
        `gateway ${id} to come in`,
        async () => {
          if (agent.process.child.exitCode !== null) throw new Error(`the agent ended:\n${agent.process.output()}`);
          const gateway = await client.gateways.get(id).catch(() => undefined);
          return gateway && gateway.profile.os !== undefined && (agentOptions.strategy !== 'push' || gateway.connected);
        },
        { describe: () => agent.process.output() },
      );
      return agent;
    },
    async ended(rollout, timeoutMs = 60_000) {
      const done = await waitFor(
        `rollout ${rollout.id} to end`,
        async () => {
          const now = await client.rollouts.get(rollout.id).catch(() => undefined);
          if (!now?.planned) return undefined;
          const tasks = await Array.fromAsync(client.rollouts.tasks(rollout.id).all());
          const over = tasks.every(({ state }) => isTerminal(state));
          return over && now.state !== 'running' ? { rollout: now, tasks } : undefined;
        },
        {
          timeoutMs,
          describe: async () =>
            JSON.stringify(await Array.fromAsync(client.rollouts.tasks(rollout.id).all()), undefined, 1),
        },
      );
      return done;
    },
    async provision(wanted) {
      return site.ended(await client.rollouts.create(wanted));
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
  return site;
}

/** The text of a problem for a failing assertion: what was said of a rollout's tasks. */
export function wordsOf(tasks: readonly Task[]): string {
  return tasks.map(({ gateway, state, message }) => `${gateway}: ${state}: ${message}`).join('\n');
}
