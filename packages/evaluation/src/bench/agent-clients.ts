/**
 * What `bench:agent` measures, each a process of its own behind a relay of its own: the agent as one bundled file, the bare
 * runtime that does nothing but ask at an interval, and Debian's SWUpdate as a hawkBit client.
 */
import { execFile } from 'node:child_process';
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '@leonore/client';
import { LeonoreError } from '@leonore/protocol';
import { type BenchProcess, startProcess } from './child-process.ts';
import { type RelayCount, startRelay } from './agent-relay.ts';

/** What a client has cost so far. */
export interface ClientUsage extends RelayCount {
  /** Milliseconds of all of its threads. */
  readonly cpuMs: number;
  /** Resident memory now and at its highest since `forgetPeak`, bytes. */
  readonly rss: number;
  readonly peakRss: number;
}

export interface BenchClient extends AsyncDisposable {
  readonly id: string;
  readonly died: Promise<never>;
  usage(): Promise<ClientUsage>;
  forgetPeak(): Promise<void>;
}

export interface ClientPlace {
  readonly folder: string;
  readonly nodeUrl: string;
  readonly client: Client;
}

/** How Node is started. */
export interface Runtime {
  readonly name: string;
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}
export const PLAIN: Runtime = { name: 'plain', flags: [], env: {} };
/** As the launcher starts it, packages/agent/setup/leonore-agent. */
export const AS_INSTALLED: Runtime = {
  name: 'as-installed',
  flags: ['--jitless', '--max-semi-space-size=1', '--optimize-for-size'],
  env: { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '32768' },
};

const BUNDLE = join(import.meta.dirname, '../../../agent/dist/leonore-agent.js');

/** @throws LeonoreError config.invalid when there is no bundle yet */
export async function startBundledAgent(
  { folder, nodeUrl, client }: ClientPlace,
  id: string,
  runtime: Runtime,
  pollMs: number,
): Promise<BenchClient> {
  await access(BUNDLE).catch(() => {
    throw new LeonoreError('config.invalid', 'there is no packages/agent/dist/leonore-agent.js; npm run build:agent');
  });
  const { token = '' } = await client.tokens.create();
  const own = ['--id', id, '--root', join(folder, id), '--token', token];
  const pull = ['--strategy', 'pull', '--poll', `${pollMs}ms`, '--log-level', 'error'];
  return startClient(nodeUrl, id, folder, (url) => [
    process.execPath,
    [...runtime.flags, BUNDLE, '--server', url, ...own, ...pull],
    runtime.env,
  ]);
}

/** In plain JavaScript: what takes types away must not count. */
const BARE = `const { Agent, get } = require('node:http');
const [url, authorization, ms] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
setInterval(() => get(url, { agent, headers: { authorization } }, (answer) => answer.resume()), Number(ms));
`;

/** A timer and a request. */
export async function startBareRuntime(
  { folder, nodeUrl, client }: ClientPlace,
  id: string,
  pollMs: number,
): Promise<BenchClient> {
  const program = join(folder, 'bare.cjs');
  await writeFile(program, BARE);
  const { token } = await client.gateways.create({ id });
  const call = (url: string) => [`${url}/default/controller/v1/${id}`, `TargetToken ${token}`, String(pollMs)];
  return startClient(nodeUrl, id, folder, (url) => [process.execPath, [program, ...call(url)], {}]);
}

/** Undefined when this machine has none. It asks as often as the node tells it to. */
export async function startSwupdate(
  { folder, nodeUrl, client }: ClientPlace,
  id: string,
): Promise<BenchClient | undefined> {
  const there = await Promise.all(
    [
      ['swupdate', '--version'],
      ['openssl', 'version'],
    ].map(([program = '', word = '']) =>
      promisify(execFile)(program, [word]).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
      ),
    ),
  );
  if (there.includes(false)) return undefined;
  const [config, key, cert, temporary] = ['.cfg', '.key', '.crt', '.tmp'].map((ending) => join(folder, id + ending));
  if (!config || !key || !cert || !temporary) return undefined;
  await mkdir(temporary);
  await writeFile(config, 'globals : { verbose = false; };\nidentify : ( { name = "os"; value = "linux"; } );\n');
  const fresh = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=bench'];
  await promisify(execFile)('openssl', [...fresh, '-keyout', key, '-out', cert]);
  const { token } = await client.gateways.create({ id, profile: { formats: ['swu'] } });
  return startClient(nodeUrl, id, folder, (url) => [
    'swupdate',
    ['-f', config, '-k', cert, '-H', 'board:1.0', '-l', '1', '-u', `-t default -u ${url} -i ${id} -k ${token} -p 1`],
    { TMPDIR: temporary },
  ]);
}

async function startClient(
  nodeUrl: string,
  id: string,
  folder: string,
  call: (url: string) => readonly [command: string, args: readonly string[], env: Readonly<Record<string, string>>],
): Promise<BenchClient> {
  await using stack = new AsyncDisposableStack();
  const relay = stack.use(await startRelay(nodeUrl));
  const [command, args, env] = call(relay.url);
  const started: BenchProcess = stack.use(
    await startProcess(command, args, {
      logFile: join(folder, `${id}.log`),
      env: { PATH: process.env['PATH'], ...env },
      cwd: folder,
    }),
  );
  const { pid, died } = started;
  const resources = stack.move();
  return {
    id,
    died,
    async usage() {
      const all = await familyOf(pid);
      const [cpu, memory, peaks] = await Promise.all([
        Promise.all(all.map(cpuMs)),
        Promise.all(all.map(memoryOf)),
        Promise.all(all.map(peakOf)),
      ]);
      // Pages that they share count once.
      const shared = Math.max(...memory.map((one) => one.shared));
      return {
        ...relay.count(),
        cpuMs: sum(cpu),
        rss: sum(memory.map((one) => one.own)) + shared,
        peakRss: sum(peaks),
      };
    },
    async forgetPeak() {
      await writeFile(`/proc/${pid}/clear_refs`, '5');
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

async function familyOf(pid: number): Promise<readonly number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return [pid, ...children.split(' ').filter(Boolean).map(Number)];
}

/** The scheduler counts nanoseconds (/proc/PID/schedstat); what proc(5) tells otherwise has steps of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    threads.map(async (thread) => {
      const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0');
      return Number(text.split(' ')[0]) / 1e6;
    }),
  );
  return sum(times);
}

async function memoryOf(pid: number): Promise<{ own: number; shared: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const all = (key: string) =>
    sum([...text.matchAll(new RegExp(`^${key}:\\s+(\\d+) kB`, 'gm'))].map(([, kB]) => Number(kB) * 1024));
  return { own: all('Private_(?:Clean|Dirty)'), shared: all('Shared_(?:Clean|Dirty)') };
}

async function peakOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
}
