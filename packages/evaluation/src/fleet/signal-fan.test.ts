import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSignalFan } from './signal-fan.ts';

void test('every signal is aborted with the one they come from, also one that is taken later', () => {
  const source = new AbortController();
  using fan = createSignalFan(source.signal);
  const signals = [fan.next(), fan.next()];
  assert.ok(signals.every(({ aborted }) => !aborted));
  const why = new Error('enough');
  source.abort(why);
  signals.push(fan.next());
  assert.deepEqual(
    signals.map(({ reason }) => reason),
    [why, why, why],
  );
});
