/** A terminal that only remembers: for tests of what is written, without a process. */
import { PassThrough } from 'node:stream';
import type { Terminal } from '../terminal.ts';

export interface FakeTerminal extends Terminal {
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Milliseconds that `now` gives. */
  clock: number;
  readonly abort: (reason: unknown) => void;
}

export function createFakeTerminal(options: Partial<Terminal> = {}): FakeTerminal {
  const stop = new AbortController();
  let out = '';
  let err = '';
  return {
    env: {},
    cwd: '/nowhere',
    stdin: new PassThrough() as unknown as NodeJS.ReadStream,
    interactive: false,
    outIsTerminal: false,
    errIsTerminal: false,
    outColour: false,
    errColour: false,
    signal: stop.signal,
    clock: 0,
    columns: () => 80,
    now() {
      return this.clock;
    },
    write: (text) => void (out += text),
    out: (line) => void (out += `${line}\n`),
    errWrite: (text) => void (err += text),
    err: (line) => void (err += `${line}\n`),
    stdout: () => out,
    stderr: () => err,
    abort: (reason) => stop.abort(reason),
    [Symbol.dispose]: () => undefined,
    ...options,
  };
}
