import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createTurns } from './turns.ts';

it('work of one key goes in order, past what fails; other keys do not wait', async () => {
  const turns = createTurns();
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.take('a', async () => {
    await gate.promise;
    throw new Error('first');
  });
  const second = turns.take('a', () => Promise.resolve(void done.push('second')));
  await turns.take('b', () => Promise.resolve(void done.push('other')));
  const settled = turns.settled('a').then(() => done.push('settled'));
  gate.resolve();
  await assert.rejects(first, /first/);
  await second;
  await settled;
  assert.deepEqual(done, ['other', 'second', 'settled']);
});
