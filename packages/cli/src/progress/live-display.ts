/**
 * Where progress is shown: redrawn in place on a terminal, elsewhere a line every few seconds and no more, so that logs
 * stay readable. Writes to stderr only. Leaves to others: what the lines say.
 */
import { cut } from '../output/table.ts';
import type { Terminal } from '../terminal.ts';

export interface LiveDisplay extends Disposable {
  /** Shows the newest view; `lines` is asked for only when something is really drawn. */
  show(view: { lines: () => readonly string[]; sentence: () => string }): void;
  /** A line that stays, above what is redrawn. */
  say(line: string): void;
  /** Takes what is redrawn off the screen. */
  clear(): void;
}

const REDRAW_MS = 80;
const LINE_MS = 3000;
const SAME_LINE_MS = 15_000;

export function createLiveDisplay(terminal: Terminal): LiveDisplay {
  return terminal.errIsTerminal ? redrawn(terminal) : lineByLine(terminal);
}

function redrawn(terminal: Terminal): LiveDisplay {
  let drawn = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  let last: readonly string[] = [];
  const erase = () => (drawn === 0 ? '' : `\u001B[${drawn}A\r\u001B[J`);

  function draw(lines: readonly string[]): void {
    const width = terminal.columns();
    // A line that wraps would take two rows and spoil the count of what has to be erased.
    terminal.errWrite(`${erase()}${lines.map((line) => `${cut(line, width - 1)}\n`).join('')}`);
    drawn = lines.length;
    last = lines;
  }
  function clear(): void {
    terminal.errWrite(erase());
    drawn = 0;
    last = [];
  }
  return {
    show(view) {
      if (terminal.now() - lastAt < REDRAW_MS) return;
      lastAt = terminal.now();
      draw(view.lines());
    },
    say(line) {
      const again = last;
      clear();
      terminal.err(line);
      if (again.length > 0) draw(again);
    },
    clear,
    [Symbol.dispose]: clear,
  };
}

function lineByLine(terminal: Terminal): LiveDisplay {
  // The first line waits too: what is done in a moment needs no progress.
  let lastAt = terminal.now();
  let last = '';
  return {
    show(view) {
      const quietFor = terminal.now() - lastAt;
      if (quietFor < LINE_MS) return;
      const sentence = view.sentence();
      if (sentence === last && quietFor < SAME_LINE_MS) return;
      lastAt = terminal.now();
      last = sentence;
      terminal.err(sentence);
    },
    say: (line) => terminal.err(line),
    clear: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
}
