/** Real LEONORE processes: a node, agents. Each is ended with what started it, by its own pid. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from './wait.ts';

const LEONORE = fileURLToPath(new URL('../../cli/bin/leonore.ts', import.meta.url));

export interface Process extends AsyncDisposable {
  readonly child: ChildProcess;
  /** All that it wrote to stdout and stderr. */
  readonly output: () => string;
  /** Fulfilled with its exit code (null when killed). */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** `leonore ARGS...` as a child process. */
export function spawnLeonore(args: readonly string[], env: Readonly<Record<string, string>> = {}): Process {
  return spawnProgram([process.execPath, LEONORE], args, env);
}

function spawnProgram(
  [command, ...before]: readonly [string, ...string[]],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Process {
  const child = spawn(command, [...before, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const alive = () => child.exitCode === null && child.signalCode === null;
  return {
    child,
    output: () => output,
    exited,
    async kill(signal) {
      if (alive()) child.kill(signal);
      await exited;
    },
    async [Symbol.asyncDispose]() {
      if (!alive()) return;
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(hard);
    },
  };
}

/** A temporary folder that goes with its test. */
export async function temporaryFolder(name = 'leonore-test-'): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), name));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** A loopback port that was free a moment ago; for what must come back at the same address. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface NodeProcess extends Process {
  readonly httpUrl: string;
  readonly mqttUrl: string;
  /** Where it was asked to serve CoAP. */
  readonly coapUrl?: string;
  readonly adminToken: string;
}

export async function startNodeProcess(options: {
  dataDir: string;
  httpPort?: number;
  mqttPort?: number;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}): Promise<NodeProcess> {
  const { dataDir, httpPort = 0, mqttPort = 0 } = options;
  await rm(join(dataDir, 'node.json'), { force: true });
  const started = spawnLeonore(
    [
      'node',
      '--data',
      dataDir,
      '--http',
      `127.0.0.1:${httpPort}`,
      '--mqtt',
      `127.0.0.1:${mqttPort}`,
      ...(options.args ?? []),
    ],
    options.env,
  );
  const address = await waitFor(
    'the node to be ready',
    async () => {
      if (started.child.exitCode !== null) throw new Error(`the node ended at once:\n${started.output()}`);
      const text = await readFile(join(dataDir, 'node.json'), 'utf8').catch(() => '');
      return text.endsWith('}\n')
        ? (JSON.parse(text) as Pick<NodeProcess, 'httpUrl' | 'mqttUrl' | 'coapUrl'>)
        : undefined;
    },
    { describe: started.output },
  );
  const adminToken = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
  return { ...started, ...address, adminToken };
}

/**
 * Ends the applications of every agent whose folder lies below `dir`: they outlive their agents, and are known by their
 * environment. To be called when the agents have ended.
 */
export async function endApplications(dir: string): Promise<void> {
  await waitFor(`applications below ${dir} to end`, async () => {
    let left = 0;
    for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
      const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      if (!environ.split('\0').some((one) => one.startsWith(`LEONORE_DATA_DIR=${dir}/`))) continue;
      left += 1;
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    return left === 0;
  });
}

/** An agent that is no `leonore agent` but takes the same options: how it is called, and what is another environment. */
export interface AgentProgram {
  readonly call: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
}

export function startAgentProcess(options: {
  server: string;
  id: string;
  root: string;
  token?: string;
  strategy?: 'pull' | 'push';
  poll?: string;
  labels?: Readonly<Record<string, string>>;
  args?: readonly string[];
  program?: AgentProgram;
}): Process {
  const labels = Object.entries(options.labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
  const token = options.token === undefined ? [] : ['--token', options.token];
  const { server, id, root, strategy = 'pull', poll = '1s', args = [] } = options;
  const own = ['--server', server, '--id', id, '--root', root, '--strategy', strategy, '--poll', poll];
  const { call = [process.execPath, LEONORE, 'agent'], env } = options.program ?? {};
  return spawnProgram(call, [...own, ...token, ...labels, ...args], env);
}
