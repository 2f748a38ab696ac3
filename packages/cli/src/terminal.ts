/**
 * What a command knows of the process it runs in: where to write, what is a terminal, the environment, when to stop.
 * Data goes to `out`, everything else to `err`. Nothing else in this package touches `process`, but the demo's children.
 */
export interface Terminal extends Disposable {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  /** True when a person can be asked. */
  readonly interactive: boolean;
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  readonly outColour: boolean;
  readonly errColour: boolean;
  /** Aborted by Ctrl-C, SIGTERM, or the end of the process that started us with a channel. */
  readonly signal: AbortSignal;
  /** Width of the terminal in columns; 80 when it has none. */
  columns(): number;
  /** Milliseconds, never falling. */
  now(): number;
  /** Writes to stdout as it is. */
  write(text: string): void;
  /** A line to stdout. */
  out(line: string): void;
  /** A line to stderr. */
  err(line: string): void;
  /** Writes to stderr as it is. */
  errWrite(text: string): void;
}

/** What an aborted `signal` carries: the exit code as shells have it. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: number;
  constructor(exitCode: number) {
    super('interrupted');
    this.exitCode = exitCode;
  }
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export function processTerminal(process: NodeJS.Process): Terminal {
  const { stdin, stdout, stderr, env } = process;
  const stop = new AbortController();
  const handlers = Object.entries(SIGNALS).map(([name, exitCode]) => {
    const handler = () => {
      // Asked twice: whoever waits for something that does not end shall get out.
      if (stop.signal.aborted) process.exit(exitCode);
      stop.abort(new Interrupted(exitCode));
    };
    process.on(name, handler);
    return () => process.off(name, handler);
  });
  const orphaned = () => stop.abort(new Interrupted(SIGNALS.SIGTERM));
  if (process.connected) process.once('disconnect', orphaned);
  // `leonore gateway list | head -1` closes our stdout early, which is no fault.
  const closed = (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  };
  stdout.on('error', closed);
  // Nobody listens to what is said any more; what is under way is still brought to its end.
  stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

  return {
    env,
    cwd: process.cwd(),
    stdin,
    interactive: stdin.isTTY && stderr.isTTY,
    outIsTerminal: stdout.isTTY,
    errIsTerminal: stderr.isTTY && env['TERM'] !== 'dumb',
    outColour: wantsColour(env, stdout.isTTY),
    errColour: wantsColour(env, stderr.isTTY),
    signal: stop.signal,
    columns: () => stderr.columns || stdout.columns || 80,
    now: () => performance.now(),
    write: (text) => void stdout.write(text),
    out: (line) => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    errWrite: (text) => void stderr.write(text),
    [Symbol.dispose]() {
      for (const remove of handlers) remove();
      process.off('disconnect', orphaned);
      if (process.connected) process.disconnect();
    },
  };
}

/** NO_COLOR (no-color.org) wins over FORCE_COLOR, which wins over what the stream is. */
export function wantsColour(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR'] && env['FORCE_COLOR'] !== '0') return true;
  return isTerminal && env['TERM'] !== 'dumb';
}
