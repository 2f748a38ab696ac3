import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { networks } from './networks.ts';
import { createRateLimit } from './rate-limit.ts';

const exempt = networks(['10.0.0.0/8']);
const LIMITS = { reads: 2, writes: 1 };

describe('the limit of requests', () => {
  it('is each second another, for reads and writes, for each address', () => {
    let now = 5000;
    const limit = createRateLimit({ exempt, now: () => now }, LIMITS);
    const read = (address = '192.0.2.1') => limit.take(address, 'GET');
    assert.deepEqual([read(), limit.take('192.0.2.1', 'HEAD'), read(), read()], [true, true, false, false]);
    assert.deepEqual([limit.take('192.0.2.1', 'POST'), limit.take('192.0.2.1', 'PUT')], [true, false]);
    assert.ok(read('192.0.2.2'), 'another address');
    now += 999;
    assert.ok(!read());
    now += 1;
    assert.ok(read());
  });
  it('does not hold for who is exempt, nor where it is 0', () => {
    const limit = createRateLimit({ exempt, now: () => 0 }, { reads: 0, writes: 1 });
    for (let i = 0; i < 10; i++) {
      assert.ok(limit.take('10.1.1.1', 'POST'));
      assert.ok(limit.take('192.0.2.1', 'GET'));
    }
  });
  it('counts an IPv6 network as one client', () => {
    const limit = createRateLimit({ exempt, now: () => 0 }, LIMITS);
    assert.ok(limit.take('2001:db8::1', 'POST'));
    for (const same of ['2001:db8::2', '2001:db8:0:0:7:7:7:7', '2001:db8::ffff:1:2'])
      assert.ok(!limit.take(same, 'POST'), same);
    for (const other of ['2001:db8:0:1::1', '2001:db9::1', '::1']) assert.ok(limit.take(other, 'POST'), other);
  });
  it('keeps no more addresses than it may: the others share one count', () => {
    const limit = createRateLimit({ exempt, now: () => 0 }, LIMITS, 2);
    const first = ['a', 'b', 'c', 'd', 'a'].map((address) => limit.take(address, 'POST'));
    assert.deepEqual(first, [true, true, true, false, false]);
  });
});
