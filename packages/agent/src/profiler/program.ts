/**
 * Runs a program of this machine to its end: own process group, clear environment, a limit of time and of output, after
 * which it is killed with all that is in its group. Whatever it does, this comes to an end.
 */
import { spawn } from 'node:child_process';

export interface ProgramLimits {
  readonly timeoutMs: number;
  /** Of its standard output, and as much of its standard error. */
  readonly maxBytes: number;
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
}

export type ProgramEnd =
  | { readonly outcome: 'ended'; readonly code: number; readonly output: string; readonly errors: string }
  /** `timeout`, `flood`: it was killed for that. `killed`: by somebody else. `unstartable`: it is no program. */
  | { readonly outcome: 'timeout' | 'flood' | 'killed' | 'unstartable'; readonly why: string };

type Fault = Extract<ProgramEnd, { why: string }>;

const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const searchPath = (): string => process.env['PATH'] || SEARCH_PATH;

export function runProgram(file: string, args: readonly string[], limits: ProgramLimits): Promise<ProgramEnd> {
  return new Promise<ProgramEnd>((resolve) => {
    // Nothing of the agent's own environment: there may be an enrolment token in it.
    const env = { PATH: searchPath(), HOME: process.env['HOME'] ?? '/', LANG: 'C', LC_ALL: 'C' };
    const { cwd = '/', signal } = limits;
    const child = spawn(file, [...args], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let fault: Fault | undefined;
    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nobody is left in it.
      }
    };
    const stop = (reason: Fault): void => {
      fault ??= reason;
      killGroup();
    };
    const seconds = Math.round(limits.timeoutMs / 100) / 10;
    const timer = setTimeout(
      () => stop({ outcome: 'timeout', why: `did not end within ${seconds} s` }),
      limits.timeoutMs,
    );
    const onAbort = (): void => stop({ outcome: 'killed', why: 'the agent stops' });
    signal?.addEventListener('abort', onAbort, { once: true });
    const taken = [child.stdout, child.stderr].map((stream) => {
      const chunks: Buffer[] = [];
      let size = 0;
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= limits.maxBytes) chunks.push(chunk);
        else stop({ outcome: 'flood', why: `said more than ${Math.round(limits.maxBytes / 1024)} KiB` });
      });
      return chunks;
    });
    const textOf = (index: number): string => Buffer.concat(taken[index] ?? []).toString('utf8');
    const end = (result: ProgramEnd): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(fault ?? result);
    };
    child.once('error', (error) => end({ outcome: 'unstartable', why: `cannot be executed: ${error.message}` }));
    child.once('exit', (code, killedBy) => {
      // What it has left running would hold the pipes open.
      killGroup();
      // What it said last may still be in them.
      const draining = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 100);
      child.once('close', () => {
        clearTimeout(draining);
        if (code === null) end({ outcome: 'killed', why: `was killed by ${killedBy ?? 'a signal'}` });
        else end({ outcome: 'ended', code, output: textOf(0), errors: textOf(1) });
      });
    });
    if (signal?.aborted) onAbort();
  }).catch((error: unknown) => ({ outcome: 'unstartable', why: `cannot be executed: ${String(error)}` }));
}
