/** A process that a benchmark starts and ends: its output goes to a file, and what it last said is in the error when it dies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';

export interface BenchProcess extends AsyncDisposable {
  readonly pid: number;
  /** Rejects as soon as the process has ended by itself. Race it with whatever waits for the process. */
  readonly died: Promise<never>;
}

const STOP_TIMEOUT_MS = 10_000;
const SHOWN_OUTPUT = 2000;

export async function startProcess(
  command: string,
  args: readonly string[],
  options: { logFile: string; env?: NodeJS.ProcessEnv; cwd?: string },
): Promise<BenchProcess> {
  await using log = await open(options.logFile, 'w');
  const child = spawn(command, args, {
    stdio: ['ignore', log.fd, log.fd],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  await once(child, 'spawn');
  const ended = once(child, 'exit');
  let stopping = false;
  const died = ended.then(async ([code, signal]): Promise<never> => {
    if (stopping) return await new Promise<never>(() => undefined);
    const said = (await readFile(options.logFile, 'utf8')).slice(-SHOWN_OUTPUT).trim();
    const how = signal ? `by ${String(signal)}` : `with exit code ${String(code)}`;
    throw new LeonoreError('server.unreachable', `${command} ended ${how}; it said:\n${said || '(nothing)'}`);
  });
  // Whoever races it sees the rejection; nobody else needs to.
  died.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    died,
    async [Symbol.asyncDispose]() {
      stopping = true;
      child.kill('SIGTERM');
      const insist = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(insist);
    },
  };
}
