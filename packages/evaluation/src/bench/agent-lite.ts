/**
 * What agent-lite costs while nothing happens, on this machine: memory between two polls, with nothing installed, and the
 * bytes of a poll that brings nothing. Measured with a node of its own; leaves printing to others.
 */
import { execFileSync } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@leonore/client';
import { startProcess } from './child-process.ts';
import { startNodeProcess } from './node-process.ts';

const AGENT_LITE = join(import.meta.dirname, '../../../agent-lite/leonore-agent-lite');
const TIMEOUT_MS = 60_000;
/** Looks at the memory; the middle one counts. */
const LOOKS = 5;

export interface AgentLiteFigures {
  /** `dash`, `busybox ash`, `bash`. */
  readonly shell: string;
  readonly http: 'curl' | 'busybox wget';
  /** Of all its processes between two polls, bytes; RSS counts what they share with others in full, PSS its share of it. */
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly privateBytes: number;
  /** Of a bare shell of that kind, bytes. */
  readonly bareRssBytes: number;
  /** Of a poll without news, TCP payload, bytes. */
  readonly pollUpBytes: number;
  readonly pollDownBytes: number;
}

interface Shell {
  readonly name: string;
  readonly http: AgentLiteFigures['http'];
  readonly command: string;
  readonly args: readonly string[];
  readonly path?: string;
}

/** Of each of the shells that are here, one after another; takes half a minute. @throws LeonoreError when the node does not come up. */
export async function measureAgentLite(): Promise<readonly AgentLiteFigures[]> {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-bench-lite-'));
  try {
    const figures: AgentLiteFigures[] = [];
    for (const shell of await shells(dir)) figures.push(await measure(shell, await mkdtemp(join(dir, 'run-'))));
    return figures;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function shells(dir: string): Promise<Shell[]> {
  const found: Shell[] = [];
  for (const name of ['dash', 'bash']) {
    const command = `/usr/bin/${name}`;
    if (await isThere(command)) found.push({ name, http: 'curl', command, args: [AGENT_LITE] });
  }
  if (await isThere('/usr/bin/busybox')) {
    const path = join(dir, 'busybox');
    await mkdir(path);
    execFileSync('busybox', ['--install', '-s', path]);
    found.push({ name: 'busybox ash', http: 'busybox wget', command: join(path, 'ash'), args: [AGENT_LITE], path });
  }
  return found;
}

async function measure(shell: Shell, dir: string): Promise<AgentLiteFigures> {
  await using node = await startNodeProcess(join(dir, 'node'), join(dir, 'node.log'), AbortSignal.timeout(TIMEOUT_MS));
  const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
  const { token = '' } = await client.tokens.create();
  await using meter = await countBytes(Number(new URL(node.httpUrl).port));
  const options = [
    '--server',
    meter.url,
    '--id',
    'a-gateway-with-a-usual-name',
    '--root',
    join(dir, 'gateway'),
    '--poll',
    '3s',
  ];
  await using agent = await startProcess(shell.command, [...shell.args, ...options, '--token', token], {
    logFile: join(dir, 'agent.log'),
    env: { PATH: shell.path ?? process.env['PATH'] },
  });
  // The first polls send the profile.
  await Promise.race([agent.died, until(() => meter.polls.length >= 3)]);
  const looks: Memory[] = [];
  while (looks.length < LOOKS) {
    const polls = meter.polls.length;
    await Promise.race([agent.died, until(() => meter.polls.length > polls)]);
    await delay(1000);
    looks.push(await memoryOf(agent.pid));
  }
  const memory = looks.toSorted((a, b) => a.rssBytes - b.rssBytes)[Math.floor(LOOKS / 2)] ?? {
    rssBytes: 0,
    pssBytes: 0,
    privateBytes: 0,
  };
  const { up, down } = meter.polls.at(-1) ?? { up: 0, down: 0 };
  return {
    shell: shell.name,
    http: shell.http,
    ...memory,
    bareRssBytes: await bareRss(shell),
    pollUpBytes: up,
    pollDownBytes: down,
  };
}

interface Memory {
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly privateBytes: number;
}

/** Of the process and of what it has started (proc(5), smaps_rollup). */
async function memoryOf(pid: number): Promise<Memory> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const sum = { rssBytes: 0, pssBytes: 0, privateBytes: 0 };
  for (const one of [pid, ...children.split(' ').filter(Boolean).map(Number)]) {
    const text = await readFile(`/proc/${one}/smaps_rollup`, 'utf8').catch(() => '');
    const bytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
    sum.rssBytes += bytes('Rss');
    sum.pssBytes += bytes('Pss');
    sum.privateBytes += bytes('Private_Clean') + bytes('Private_Dirty');
  }
  return sum;
}

async function bareRss({ command }: Shell): Promise<number> {
  const words = execFileSync(command, ['-c', 'read -r line </proc/$$/statm; echo "$line"'], { encoding: 'utf8' });
  const pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
  return Number(words.split(' ')[1]) * pageBytes;
}

/** Passes connections on to a port, and counts the bytes of each: agent-lite makes one for each request. */
async function countBytes(port: number) {
  const polls: { up: number; down: number }[] = [];
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    const bytes = { up: 0, down: 0 };
    socket.on('data', (chunk) => void (bytes.up += chunk.length));
    onward.on('data', (chunk) => void (bytes.down += chunk.length));
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward]) end.on('error', () => (socket.destroy(), onward.destroy()));
    socket.on('close', () => {
      onward.destroy();
      polls.push(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    polls,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function until(condition: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  while (!condition()) await delay(50, undefined, { signal });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
