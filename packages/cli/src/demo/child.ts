/**
 * The demo's own processes: real `leonore node` and `leonore agent` calls. Each has a channel to us and stops when it is
 * cut, so that none outlives the demo, however that ends.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';

const ENTRY = join(import.meta.dirname, '../../bin/leonore.ts');
const LAST_WORDS = 2000;

export interface Child extends AsyncDisposable {
  readonly pid: number | undefined;
  /** What it sends over the channel first. @throws LeonoreError with its last words when it ends before. */
  ready(signal: AbortSignal): Promise<unknown>;
  /** Rejects when it ends before it is disposed. */
  readonly died: Promise<never>;
}

export interface ChildOptions {
  readonly name: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function startChild(options: ChildOptions): Child {
  const child = fork(ENTRY, [...options.args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A group of its own: Ctrl-C reaches us alone, and we take things down in order.
    detached: true,
    env: withoutSettings(options.env),
    execArgv: [],
  });
  const log = createWriteStream(options.logFile);
  let lastWords = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      log.write(chunk);
      lastWords = (lastWords + chunk.toString()).slice(-LAST_WORDS);
    });
  }
  let disposing = false;
  const ended = once(child, 'close');
  const died = ended.then(([code, signal]): Promise<never> | never => {
    if (disposing) return new Promise<never>(() => {});
    throw new LeonoreError(
      'server.internal',
      `${options.name} ended by itself (${signal ?? `exit code ${code}`}): ${lastWords.trim().split('\n').slice(-3).join(' | ') || 'it said nothing'}`,
    );
  });
  died.catch(() => undefined);

  return {
    pid: child.pid,
    died,
    ready: (signal) => Promise.race([died, once(child, 'message', { signal }).then(([message]: unknown[]) => message)]),
    async [Symbol.asyncDispose]() {
      disposing = true;
      await end(child, ended);
      log.end();
    },
  };
}

/** Settings of the one who calls the demo are not those of its parts. */
function withoutSettings(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !key.startsWith('LEONORE_')));
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const tooLate = setTimeout(() => child.kill('SIGKILL'), 5000);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(tooLate);
}
