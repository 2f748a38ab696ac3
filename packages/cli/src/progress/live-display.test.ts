import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createFakeTerminal } from '../testing/fake-terminal.ts';
import { createLiveDisplay } from './live-display.ts';

const view = (text: string) => ({ lines: () => [text, `  ${text}`], sentence: () => text });

describe('createLiveDisplay', () => {
  it('elsewhere writes a line every few seconds at most, and repeats itself rarely', () => {
    const terminal = createFakeTerminal();
    const display = createLiveDisplay(terminal);
    for (let at = 0; at <= 60_000; at += 100) {
      terminal.clock = at;
      display.show(view(`step ${Math.floor(at / 20_000)}`));
    }
    display.clear();
    const lines = terminal.stderr().trimEnd().split('\n');
    assert.deepEqual(lines, ['step 0', 'step 0', 'step 1', 'step 1', 'step 2', 'step 2', 'step 3']);
    assert.equal(terminal.stdout(), '');
  });

  it('elsewhere says nothing of what is over in a moment', () => {
    const terminal = createFakeTerminal();
    {
      using display = createLiveDisplay(terminal);
      terminal.clock = 2900;
      display.show(view('quick'));
    }
    assert.equal(terminal.stderr(), '');
  });

  it('on a terminal redraws in place, not too often, and leaves nothing behind', () => {
    const terminal = createFakeTerminal({ errIsTerminal: true });
    {
      using display = createLiveDisplay(terminal);
      display.show(view('one'));
      terminal.clock = 10;
      display.show(view('too soon'));
      terminal.clock = 100;
      display.show(view('two'));
      display.say('a line that stays');
    }
    assert.equal(screen(terminal.stderr()), 'a line that stays\n');
    assert.ok(!terminal.stderr().includes('too soon') && terminal.stderr().includes('two'));
  });

  it('on a terminal cuts lines to its width, so that erasing finds them again', () => {
    const terminal = createFakeTerminal({ errIsTerminal: true, columns: () => 20 });
    createLiveDisplay(terminal).show(view('x'.repeat(100)));
    for (const line of terminal.stderr().split('\n')) assert.ok(line.length < 20);
  });
});

/** What a terminal would show in the end. */
function screen(written: string): string {
  let lines = [''];
  for (const token of written.replaceAll('\u001B', 'ESC').split(/(ESC\[\d*[AJ]|\r|\n)/)) {
    const up = /^ESC\[(\d+)A$/.exec(token);
    if (up) lines = lines.slice(0, Math.max(1, lines.length - Number(up[1])));
    else if (token === 'ESC[J') lines[lines.length - 1] = '';
    else if (token === '\n') lines.push('');
    else if (token !== '\r') lines[lines.length - 1] += token;
  }
  return lines.join('\n');
}
