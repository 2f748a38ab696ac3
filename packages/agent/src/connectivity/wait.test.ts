import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import { createBackoff, createBell, jitter, sleep } from './wait.ts';

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

void test('a delay lies between 0 and a ceiling that doubles up to its end', () => {
  fc.assert(
    fc.property(
      unit,
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 1, max: 2000 }),
      (share, initialMs, count) => {
        const backoff = createBackoff({ initialMs, maxMs: 300_000, random: () => share });
        for (let attempt = 0; attempt < count; attempt++) {
          assert.equal(backoff.next(), share * Math.min(300_000, initialMs * 2 ** Math.min(attempt, 30)));
        }
        backoff.reset();
        assert.ok(backoff.next() <= initialMs);
      },
    ),
    { numRuns: 50 },
  );
});

void test('whoever is sent away with the same Retry-After waits it out, and comes back spread over as much again', () => {
  const delays = Array.from({ length: 4000 }, () => createBackoff({ initialMs: 1000, maxMs: 300_000 }).next(5000));
  assert.ok(Math.min(...delays) >= 5000);
  assert.ok(Math.max(...delays) < 10_000);
  const inOneSecond = delays.filter((ms) => ms < 6000).length;
  assert.ok(inOneSecond > 400 && inOneSecond < 1200, `${inOneSecond} of 4000 in the first second`);
});

void test('jitter moves by no more than its share', () => {
  fc.assert(
    fc.property(unit, fc.integer({ min: 1, max: 1e9 }), (share, ms) => {
      assert.ok(Math.abs(jitter(ms, 0.1, () => share) - ms) <= ms * 0.1 + 1e-6);
    }),
  );
});

void test('a wait longer than a timer can take does not end at once', async () => {
  const stop = new AbortController();
  const over = sleep(2 ** 40, stop.signal).then(
    () => 'over',
    () => 'aborted',
  );
  const first = await Promise.race([over, sleep(50).then(() => 'waiting')]);
  stop.abort();
  assert.equal(first, 'waiting');
  assert.equal(await over, 'aborted');
});

void test('a bell wakes now, or the next one who waits; time and abort end a wait too, and a jump of the date does not', async () => {
  const clock = simulatedClock();
  const bell = createBell(clock);
  const { signal } = new AbortController();
  const woken: string[] = [];
  const wait = (name: string, ms?: number, own = signal): Promise<void> =>
    bell.wait({ ...(ms === undefined ? {} : { ms }), signal: own }).then(() => void woken.push(name));

  bell.ring();
  await wait('rung before');
  void wait('for time', 1000);
  clock.jump(40 * 365 * 86_400_000);
  await clock.pass(999);
  assert.deepEqual(woken, ['rung before']);
  await clock.pass(1);
  void wait('for ever');
  await clock.pass(1e12);
  bell.ring();
  await clock.pass(0);
  const stop = new AbortController();
  void wait('aborted', undefined, stop.signal);
  stop.abort();
  await clock.pass(0);
  assert.deepEqual(woken, ['rung before', 'for time', 'for ever', 'aborted']);
});
