/** What is asked of the person at the terminal, or read from what is piped in. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { LeonoreError } from '@leonore/protocol';
import type { Terminal } from './terminal.ts';

/** A secret: what is typed is not shown. */
export async function askHidden(terminal: Terminal, question: string): Promise<string> {
  terminal.errWrite(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: terminal.stdin, output: nowhere, terminal: true });
  // In raw mode Ctrl-C is a key, not a signal.
  const stop = new AbortController();
  lines.once('SIGINT', () => stop.abort());
  try {
    return await lines.question('', { signal: AbortSignal.any([terminal.signal, stop.signal]) });
  } catch (error) {
    throw new LeonoreError('cli.usage', 'nothing was entered', { cause: error });
  } finally {
    lines.close();
    terminal.err('');
  }
}

/** All of standard input. */
export function readAllInput(terminal: Terminal): Promise<string> {
  return readText(terminal.stdin);
}

/** Goes on only after `--yes` or a typed yes; where nobody can be asked, `--yes` is needed. @throws LeonoreError `cli.usage`. */
export async function confirm(terminal: Terminal, question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!terminal.interactive) {
    throw new LeonoreError('cli.usage', `${question} Nobody can be asked here: add --yes to confirm`);
  }
  const lines = createInterface({ input: terminal.stdin, output: toStderr(terminal) });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: terminal.signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new LeonoreError('cli.usage', 'not confirmed, nothing was changed');
  } finally {
    lines.close();
  }
}

function toStderr(terminal: Terminal): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      terminal.errWrite(chunk.toString());
      done();
    },
  });
}
