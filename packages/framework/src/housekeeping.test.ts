import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHousekeeping } from './housekeeping.ts';

const HOUR_MS = 3_600_000;

test('jobs run one after another at the start; one that fails is told of and stops no other', async () => {
  const begun: string[] = [];
  let atWork = 0;
  const job = (name: string, fails = false) => ({
    name,
    async run() {
      begun.push(name);
      assert.equal(++atWork, 1);
      await new Promise((resolve) => setImmediate(resolve));
      atWork--;
      if (fails) throw new Error(`${name} failed`);
    },
  });
  const errors: string[] = [];
  await using housekeeping = createHousekeeping(
    [job('a'), job('b', true), job('c')],
    { onError: (error, name) => errors.push(`${name}: ${String(error)}`) },
    { intervalMs: HOUR_MS },
  );
  await housekeeping.sweep();
  assert.deepEqual(begun, ['a', 'b', 'c', 'a', 'b', 'c']);
  assert.deepEqual(errors, ['b: Error: b failed', 'b: Error: b failed']);
});

test('they run again after each interval', async () => {
  const third = Promise.withResolvers<void>();
  let runs = 0;
  await using _housekeeping = createHousekeeping(
    [{ name: 'count', run: async () => void (++runs === 3 && third.resolve()) }],
    { onError: assert.ifError },
    { intervalMs: 1 },
  );
  await third.promise;
});

test('its end waits for the job at work, which is told, and begins no other', async () => {
  const begun = Promise.withResolvers<void>();
  const events: string[] = [];
  const housekeeping = createHousekeeping(
    [
      {
        name: 'long',
        async run(signal) {
          begun.resolve();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          await new Promise((resolve) => setImmediate(resolve));
          events.push('ended');
          throw signal.reason;
        },
      },
      { name: 'next', run: async () => void events.push('next') },
    ],
    { onError: () => events.push('error') },
    { intervalMs: HOUR_MS },
  );
  await begun.promise;
  await housekeeping[Symbol.asyncDispose]();
  assert.deepEqual(events, ['ended']);
});
