/**
 * One gateway under fault: a real agent process against a server in this process, in a folder of its own. Starts, kills
 * and watches it; what a scenario does with it and what must hold is said elsewhere.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentOptions } from '../agent/mod.ts';
import { agentOptions, applicationsOf, kill } from '../test-support/agents.ts';
import { type FakeServer, startFakeServer } from '../test-support/fake-server.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

export interface FaultyGateway extends AsyncDisposable {
  readonly server: FakeServer;
  /** Of packages and logs; readable for all, as applications have users of their own. */
  readonly work: string;
  readonly root: string;
  /** What scripts say. */
  readonly scriptLog: string;
  at(...parts: string[]): string;
  start(): Promise<ChildProcess>;
  /** Fulfilled when the agent that was started last has done what it does before it asks for work. */
  untilUp(timeoutMs?: number): Promise<void>;
  kill(): Promise<void>;
  /** SIGTERM; fulfilled when it has ended. */
  stop(): Promise<void>;
  readonly child: ChildProcess | undefined;
  /** What all agents so far have logged, JSON lines. */
  agentLog(): Promise<string>;
}

const TUNING: AgentOptions['tuning'] = {
  container: { initialMs: 50, maxMs: 200, settleMs: 100, tickMs: 50, scriptMs: 5000 },
  retry: { initialMs: 10, maxMs: 50 },
  profileCheckMs: 100,
};

export async function faultyGateway(
  options: { readonly root?: string; readonly change?: Partial<AgentOptions> } = {},
): Promise<FaultyGateway> {
  const stack = new AsyncDisposableStack();
  const { path: work } = stack.use(await temporaryFolder());
  await chmod(work, 0o755);
  const server = stack.use(await startFakeServer());
  const root = options.root ?? join(work, 'gateway');
  await mkdir(root, { recursive: true });
  const scriptLog = join(work, 'scripts.log');
  await writeFile(scriptLog, '');
  await chmod(scriptLog, 0o666);
  stack.use(applicationsOf(root));
  const { logger: _logger, ...told } = agentOptions(server, root, {
    pollIntervalMs: 30,
    ...options.change,
  });
  const tuning = { ...told.tuning, ...TUNING, ...options.change?.tuning };
  const logFile = join(work, 'agent.log');

  let child: ChildProcess | undefined;
  let pollsBefore = 0;
  const polls = (): number =>
    server.requests.filter(({ path }) => path.startsWith(POLL) && !path.includes('/', POLL.length)).length;
  const end = async (): Promise<void> => {
    if (child) await kill(child);
  };
  stack.defer(end);
  return {
    server,
    work,
    root,
    scriptLog,
    at: (...parts) => join(root, ...parts),
    async start() {
      const log = await open(logFile, 'a');
      pollsBefore = polls();
      child = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          join(import.meta.dirname, 'victim.ts'),
          JSON.stringify({ ...told, tuning }),
        ],
        {
          stdio: ['ignore', log.fd, log.fd],
          // What ends the harness from a terminal does not end it.
          detached: true,
          env: { ...process.env, UV_THREADPOOL_SIZE: '1', NODE_COMPILE_CACHE: join(work, 'compiled') },
        },
      );
      await once(child, 'spawn');
      await log.close();
      return child;
    },
    async untilUp(timeoutMs = 20_000) {
      await until(
        'the agent asks for work',
        () => {
          if (hasEnded(child)) throw new Error('the agent has ended by itself');
          return polls() > pollsBefore;
        },
        timeoutMs,
      );
    },
    kill: end,
    async stop() {
      if (!child || hasEnded(child)) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
    get child() {
      return child;
    },
    agentLog: () => readFile(logFile, 'utf8').catch(() => ''),
    async [Symbol.asyncDispose]() {
      await stack.disposeAsync();
      if (options.root !== undefined) await rm(root, { recursive: true, force: true });
    },
  };
}

const POLL = '/DEFAULT/controller/v1/gw-1';

export function hasEnded(child: ChildProcess | undefined): boolean {
  return child === undefined || child.exitCode !== null || child.signalCode !== null;
}
