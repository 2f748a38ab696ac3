import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inParallel } from './in-parallel.ts';

void test('does everything once, never more than the limit at a time', async () => {
  const done: number[] = [];
  let running = 0;
  let most = 0;
  await inParallel(50, 4, async (index) => {
    most = Math.max(most, ++running);
    await turn();
    running -= 1;
    done.push(index);
  });
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    Array.from({ length: 50 }, (_, index) => index),
  );
  assert.equal(most, 4);
});

void test('after a failure nothing more is begun, and the failure is told when all under way has ended', async () => {
  let running = 0;
  let begun = 0;
  await assert.rejects(
    inParallel(100, 3, async (index) => {
      begun += 1;
      running += 1;
      await turn();
      running -= 1;
      if (index === 1) throw new Error('the second');
    }),
    /the second/,
  );
  assert.equal(running, 0);
  assert.ok(begun < 10, `${begun} were begun`);
});
