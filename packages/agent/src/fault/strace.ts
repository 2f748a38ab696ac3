/**
 * Faults at system calls, by strace(1): it is attached to an agent that runs, follows its threads, and lets go of its
 * children when they become another program, so that only the agent's own calls count. A call is named with its number
 * since then; the agent has one thread for files (UV_THREADPOOL_SIZE=1), so these numbers are nearly the same each time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What changes something outside of the process, as Node.js makes it on Linux. Files are opened before they are written, so `openat` is left out. */
export const CHANGING_CALLS = [
  'write',
  'pwrite64',
  'writev',
  'pwritev',
  'fsync',
  'fdatasync',
  'ftruncate',
  'rename',
  'renameat2',
  'link',
  'symlink',
  'unlink',
  'unlinkat',
  'rmdir',
  'mkdir',
  'chmod',
  'fchmod',
  'chown',
  'fchown',
  'lchown',
  'clone',
  'clone3',
  'vfork',
  'kill',
] as const;

export interface Injection {
  readonly call: string;
  /** The how manieth of it, from 1. */
  readonly at: number;
}

/** Undefined when it is not there or may not trace. */
export async function straceVersion(): Promise<string | undefined> {
  const child = spawn('strace', ['-qq', '-o', '/dev/null', 'true'], { stdio: 'ignore' });
  const ended = await Promise.race([once(child, 'exit').then(([code]) => code as number | null), once(child, 'error')]);
  return ended === 0 ? 'there' : undefined;
}

export interface Tracer extends AsyncDisposable {
  readonly detach: () => Promise<void>;
}

export interface Tracing {
  /** Of strace's `-e`. */
  readonly expressions: readonly string[];
  /** Only calls on these files. */
  readonly paths?: readonly string[];
  readonly output?: string;
}

/** Fulfilled when each call counts. */
export async function attach(pid: number, { expressions, paths = [], output = '/dev/null' }: Tracing): Promise<Tracer> {
  const options = [...expressions.flatMap((one) => ['-e', one]), ...paths.flatMap((path) => ['-P', path])];
  const args = ['-f', '-y', '-b', 'execve', '-o', output, ...options];
  const child = spawn('strace', [...args, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (/ attached/.test(said)) resolve();
    });
    void exited.then(() => reject(new Error(`strace cannot be attached to ${pid}: ${said}`)));
  });
  const detach = async (): Promise<void> => {
    child.kill('SIGINT');
    await exited;
  };
  return { detach, [Symbol.asyncDispose]: detach };
}

export function killAt({ call, at }: Injection): Tracing {
  return { expressions: [`trace=${call}`, `inject=${call}:signal=SIGKILL:when=${at}`] };
}

/** What a disk can refuse; none of these is made for connections. */
const DISK_CALLS = ['pwrite64', 'fsync', 'rename', 'mkdir', 'symlink', 'unlink', 'rmdir', 'chmod', 'fchmod'];
/** One of them, all of them, or only what is written to the files that the agent remembers by. */
export const FAILING_CALLS = [...DISK_CALLS, 'all', 'memory'];
export const DISK_ERRORS = ['ENOSPC', 'EIO', 'EROFS'] as const;
export type DiskError = (typeof DISK_ERRORS)[number];

/** From the given one on all fail. `at`: where a file of the agent's folder lies. */
export function failFrom({ call, at }: Injection, error: DiskError, file: (name: string) => string): Tracing {
  const memory = call === 'memory';
  const calls = call === 'all' ? DISK_CALLS.join(',') : memory ? 'write,fsync' : call;
  const files = ['journal', 'state.json.tmp', 'state.json.bak.tmp'].map((name) => file(name));
  return {
    expressions: [`trace=${calls}`, `inject=${calls}:error=${error}:when=${at}+`],
    ...(memory ? { paths: files } : {}),
  };
}

/** The calls in a trace that change something, each with its number; writes only where they go to a file or a peer. */
export function pointsOf(trace: string): Injection[] {
  const counts = new Map<string, number>();
  const points: Injection[] = [];
  for (const line of trace.split('\n')) {
    const [, thread, call, rest] = /^(\d+)\s+(\w+)\((.*)/.exec(line) ?? [];
    if (thread === undefined || call === undefined || rest === undefined) continue;
    const key = `${thread} ${call}`;
    const at = (counts.get(key) ?? 0) + 1;
    counts.set(key, at);
    // Threads wake each other by writing to these.
    if (/^\d+<(anon_inode|pipe)/.test(rest)) continue;
    if (!points.some((one) => one.call === call && one.at === at)) points.push({ call, at });
  }
  return points;
}
