/** A LEONORE node in a process of its own, as `leonore node` starts it, on free ports and with a folder of its own. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LeonoreError } from '@leonore/protocol';
import { type BenchProcess, startProcess } from './child-process.ts';

export interface NodeProcess extends BenchProcess {
  readonly httpUrl: string;
  readonly adminToken: string;
}

const CLI = join(import.meta.dirname, '../../../cli/bin/leonore.ts');
const START_TIMEOUT_MS = 30_000;

export async function startNodeProcess(
  dataDir: string,
  logFile: string,
  signal: AbortSignal,
  more: readonly string[] = [],
): Promise<NodeProcess> {
  const args = [CLI, 'node', '--data', dataDir, '--http', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', ...more];
  const child = await startProcess(process.execPath, args, {
    logFile,
    env: { LEONORE_LOG_LEVEL: 'warn', PATH: process.env['PATH'] },
  });
  try {
    const { httpUrl, pid } = await Promise.race([child.died, readWhenThere(join(dataDir, 'node.json'), signal)]);
    const adminToken = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();
    return { pid, died: child.died, httpUrl, adminToken, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the node writes into its folder when it is ready. */
interface NodeFile {
  readonly httpUrl: string;
  readonly pid: number;
}

async function readWhenThere(file: string, signal: AbortSignal): Promise<NodeFile> {
  const until = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < until) {
    signal.throwIfAborted();
    const text = await readFile(file, 'utf8').catch(() => '');
    const found = parsed(text);
    if (found) return found;
    await delay(50);
  }
  throw new LeonoreError(
    'server.unreachable',
    `the node was not ready after ${START_TIMEOUT_MS / 1000} s (no ${file})`,
  );
}

/** Undefined when it is not there, or not all of it. */
function parsed(text: string): NodeFile | undefined {
  try {
    const { httpUrl, pid } = JSON.parse(text) as Record<string, unknown>;
    return typeof httpUrl === 'string' && typeof pid === 'number' ? { httpUrl, pid } : undefined;
  } catch {
    return undefined;
  }
}
