import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sha256Schema } from '@leonore/protocol';
import { createByteCache } from './byte-cache.ts';

const key = (n: number) => sha256Schema.parse(String(n).padStart(64, '0'));

describe('the cache of hot segments', () => {
  it('stays within its bounds and drops what was used longest ago', async () => {
    const cache = createByteCache({ maxBytes: 300, maxItemBytes: 100 });
    const loads: number[] = [];
    const get = (n: number, size = 100) =>
      cache.get(key(n), () => {
        loads.push(n);
        return Promise.resolve(new Uint8Array(size));
      });
    for (const n of [1, 2, 3]) await get(n);
    await get(1);
    await get(4);
    assert.equal(cache.usedBytes, 300);
    await get(1);
    await get(2);
    assert.deepEqual(loads, [1, 2, 3, 4, 2]);
  });
  it('does not keep what is too large for it', async () => {
    const cache = createByteCache({ maxBytes: 300, maxItemBytes: 100 });
    await cache.get(key(1), () => Promise.resolve(new Uint8Array(101)));
    assert.equal(cache.usedBytes, 0);
    for (let asked = 0; asked < 3; asked++) assert.equal(cache.takes(key(1), 101), false);
  });
  it('takes in what is asked for a second time', async () => {
    const cache = createByteCache({ maxBytes: 100, maxItemBytes: 100 });
    assert.equal(cache.takes(key(1), 100), false);
    assert.equal(cache.takes(key(2), 100), false);
    assert.equal(cache.takes(key(1), 100), true);
    await cache.get(key(1), () => Promise.resolve(new Uint8Array(100)));
    assert.equal(cache.takes(key(1), 100), true);
    assert.equal(cache.takes(key(2), 100), true);
    await cache.get(key(2), () => Promise.resolve(new Uint8Array(100)));
    // Pushed out: cold again.
    assert.equal(cache.takes(key(1), 100), false);
  });
  it('reads once for all who ask at the same time, and again after a failure', async () => {
    const cache = createByteCache({ maxBytes: 300, maxItemBytes: 100 });
    let loads = 0;
    const load = async () => {
      loads++;
      await Promise.resolve();
      if (loads === 1) throw new Error('disk');
      return new Uint8Array(10);
    };
    const first = await Promise.allSettled([cache.get(key(1), load), cache.get(key(1), load)]);
    assert.deepEqual(
      first.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    await Promise.all([cache.get(key(1), load), cache.get(key(1), load)]);
    assert.equal(loads, 2);
  });
});
