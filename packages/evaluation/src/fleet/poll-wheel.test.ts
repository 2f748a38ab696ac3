import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createPollWheel } from './poll-wheel.ts';
import { seededRandom } from './seeded-random.ts';

const MEMBERS = 300;

void test('each member is due once in each round, spread over it', async () => {
  const order: number[] = [];
  const ticks = new Set<number>();
  {
    using _wheel = createPollWheel({
      members: MEMBERS,
      intervalMs: 150,
      random: seededRandom(7),
      onDue(member) {
        order.push(member);
        ticks.add(performance.now());
      },
    });
    while (order.length < 3 * MEMBERS) await delay(5);
  }
  const first = order.slice(0, MEMBERS);
  assert.equal(new Set(first).size, MEMBERS, 'a member was due twice in the first round');
  assert.deepEqual(order.slice(MEMBERS, 2 * MEMBERS), first, 'the second round has another order');
  assert.ok(ticks.size > 3, 'all were due at once');
});

void test('a wheel that was disposed of is silent', async () => {
  const due: number[] = [];
  const wheel = createPollWheel({ members: 5, intervalMs: 10, random: () => 0, onDue: (member) => due.push(member) });
  while (due.length === 0) await delay(1);
  wheel[Symbol.dispose]();
  const before = due.length;
  await delay(50);
  assert.equal(due.length, before);
});

void test('the same seed gives the same moments', () => {
  const [one, same, other] = [seededRandom(1), seededRandom(1), seededRandom(2)];
  const drawn = Array.from({ length: 20 }, one);
  assert.deepEqual(Array.from({ length: 20 }, same), drawn);
  assert.notDeepEqual(Array.from({ length: 20 }, other), drawn);
  assert.ok(drawn.every((value) => value >= 0 && value < 1));
});
