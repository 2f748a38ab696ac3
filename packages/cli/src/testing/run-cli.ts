/** Calls the real command line as a process of its own, with a home of its own. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Called with everything that came on stderr so far, each time something comes. */
  readonly onStderr?: (text: string, child: { kill(signal: NodeJS.Signals): void }) => void;
  readonly onStdout?: (text: string, child: { kill(signal: NodeJS.Signals): void }) => void;
  readonly nodeArgs?: readonly string[];
  readonly cwd?: string;
}

export interface CliHome extends AsyncDisposable {
  readonly folder: string;
  readonly run: (args: readonly string[], options?: RunOptions) => Promise<Result>;
}

const ENTRY = join(import.meta.dirname, '../../bin/leonore.js');

export async function createCliHome(settings: Readonly<Record<string, string>> = {}): Promise<CliHome> {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-cli-'));
  return {
    folder,
    run: (args, options = {}) =>
      new Promise((done, failed) => {
        const env = {
          PATH: process.env['PATH'],
          HOME: folder,
          XDG_CONFIG_HOME: join(folder, 'config'),
          ...settings,
          ...options.env,
        };
        const child = spawn(process.execPath, [...(options.nodeArgs ?? []), ENTRY, ...args], {
          env,
          cwd: options.cwd ?? folder,
        });
        let stdout = '';
        let stderr = '';
        child.stdout.on('data', (chunk: Buffer) => {
          stdout += chunk.toString();
          options.onStdout?.(stdout, child);
        });
        child.stderr.on('data', (chunk: Buffer) => {
          stderr += chunk.toString();
          options.onStderr?.(stderr, child);
        });
        child.on('error', failed);
        child.on('close', (code) => done({ code, stdout, stderr }));
        child.stdin.end(options.input ?? '');
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
