import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sha256Schema } from '@leonore/protocol';
import type { DeltaPair } from '../../repositories/mod.ts';
import { createDeltaQueue, type DeltaQueue } from './delta-queue.ts';

const digest = (n: number) => sha256Schema.parse(String(n).padStart(64, '0'));
const pair = (n: number): DeltaPair => ({ from: digest(n), to: digest(n + 1) });
const numberOf = ({ from }: DeltaPair) => Number(from);

/** A queue whose makings end when the test says so. */
function open(options: { maxQueued?: number; maxWaitMs?: number } = {}) {
  const begun: number[] = [];
  const errors: unknown[] = [];
  const ends = new Map<number, PromiseWithResolvers<void>>();
  const endOf = (n: number) => ends.get(n) ?? ends.set(n, Promise.withResolvers()).get(n)!;
  const queue = createDeltaQueue(
    {
      async make(wanted, signal) {
        begun.push(numberOf(wanted));
        const { promise, reject } = endOf(numberOf(wanted));
        const abort = () => reject(new Error('stopped'));
        signal.addEventListener('abort', abort, { once: true });
        await promise;
      },
      onError: (error) => void errors.push(error),
    },
    { maxQueued: 10, maxWaitMs: 60_000, ...options },
  );
  return {
    queue,
    begun,
    errors,
    end: (n: number) => endOf(n).resolve(),
    fail: (n: number) => endOf(n).reject(new Error('no')),
  };
}

function asked(queue: DeltaQueue, ...numbers: number[]): Promise<void>[] {
  return numbers.map((n) => queue.ask(pair(n), 'planned') ?? assert.fail(`${n} was not taken`));
}

describe('the queue of deltas', () => {
  it('makes each pair once for all who ask, one after the other', async () => {
    const { queue, begun, end } = open();
    const all = asked(queue, 1, 2, 1, 2, 1);
    end(1);
    await all[0];
    end(2);
    await Promise.all(all);
    assert.deepEqual(begun, [1, 2]);
    assert.equal(queue.length, 0);
    const [again] = asked(queue, 1);
    await again;
    assert.deepEqual(begun, [1, 2, 1]);
  });

  it('makes what is planned before what is spare, also when it was spare at first', async () => {
    const { queue, begun, end } = open();
    for (const n of [1, 2, 3]) void queue.ask(pair(n), 'spare');
    const all = asked(queue, 4, 3);
    for (const n of [1, 2, 3, 4]) end(n);
    await Promise.all(all);
    assert.deepEqual(begun.slice(0, 2), [3, 4]);
    await queue.ask(pair(2), 'spare');
    assert.deepEqual(begun, [3, 4, 1, 2]);
  });

  it('goes on after one that failed', async () => {
    const { queue, errors, end, fail } = open();
    const all = asked(queue, 1, 2);
    fail(1);
    end(2);
    await Promise.all(all);
    assert.deepEqual(errors.map(String), ['Error: no']);
  });

  it('takes no more than it may, and again when there is room; what is planned finds more of it', async () => {
    const { queue, end } = open({ maxQueued: 4 });
    assert.ok(queue.ask(pair(1), 'spare') && queue.ask(pair(2), 'spare'));
    assert.equal(queue.ask(pair(3), 'spare'), undefined);
    const all = asked(queue, 3, 4);
    assert.equal(queue.ask(pair(5), 'planned'), undefined);
    assert.ok(queue.ask(pair(4), 'planned'), 'one that is there is no more');
    end(3);
    await all[0];
    assert.ok(queue.ask(pair(5), 'planned'));
  });

  it('is waited for no longer than said, by all together', { timeout: 20_000 }, async () => {
    const { queue, end } = open({ maxWaitMs: 300 });
    const begun = performance.now();
    for (const n of [1, 2, 3, 4, 5, 6]) await queue.settled(asked(queue, n));
    const first = performance.now() - begun;
    assert.ok(first >= 295 && first < 1500, `${first} ms`);
    // Once it was idle, the time begins anew.
    const rest = asked(queue, 1, 2, 3, 4, 5, 6);
    for (const n of [1, 2, 3, 4, 5, 6]) end(n);
    await Promise.all(rest);
    const again = performance.now();
    await queue.settled(asked(queue, 7));
    assert.ok(performance.now() - again >= 295);
  });

  it('is not waited for when all is done, or when the signal says so, or at its end', async () => {
    const { queue, end } = open();
    end(1);
    await queue.settled(asked(queue, 1));
    await queue.settled([]);
    const stop = new AbortController();
    const waiting = queue.settled(asked(queue, 2), stop.signal);
    stop.abort();
    await waiting;
    await queue.settled(asked(queue, 2), stop.signal);
    const last = queue.settled(asked(queue, 3));
    await queue[Symbol.asyncDispose]();
    await last;
    assert.equal(queue.ask(pair(4), 'planned'), undefined);
  });

  it('at its end stops what is being made, without complaint, and begins nothing more', async () => {
    const { queue, begun, errors } = open();
    const all = asked(queue, 1, 2);
    await new Promise((resolve) => setImmediate(resolve));
    await queue[Symbol.asyncDispose]();
    await Promise.all(all);
    assert.deepEqual([begun, errors], [[1], []]);
  });
});
