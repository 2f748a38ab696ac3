import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockOption, type CoapMessage, coapOption, type CoapOption } from '@leonore/protocol';
import { createRequestBodies } from './request-bodies.ts';

const LIMITS = { maxBytes: 4096, maxTransfers: 2 };

function message(payload: Buffer, ...options: CoapOption[]): CoapMessage {
  return { type: 'con', code: '0.02', id: 1, token: Buffer.alloc(0), options, payload };
}
function part(num: number, more: boolean, length = 64, size = 64): CoapMessage {
  return message(Buffer.alloc(length, num), blockOption('Block1', { num, more, size }));
}

void test('blocks become a body, in their order and of their sender', () => {
  const bodies = createRequestBodies(LIMITS);
  assert.equal(bodies.take('a', 'report', part(0, true)).kind, 'more');
  assert.equal(bodies.take('b', 'report', part(0, true)).kind, 'more');
  assert.equal(bodies.take('a', 'report', part(1, true)).kind, 'more');
  const taken = bodies.take('a', 'report', part(2, false, 5));
  assert.deepEqual(
    taken.kind === 'whole' && taken.body,
    Buffer.concat([Buffer.alloc(64, 0), Buffer.alloc(64, 1), Buffer.alloc(5, 2)]),
  );
  const alone = bodies.take('a', 'report', message(Buffer.from('all')));
  assert.equal(alone.kind === 'whole' && alone.body.toString(), 'all');
});

void test('what has no beginning, skips, is for something else or too short for its block is begun again', () => {
  const bodies = createRequestBodies(LIMITS);
  assert.equal(bodies.take('a', 'report', part(1, false)).kind, 'lost');
  for (const next of [part(2, true), part(1, true, 10), part(1, true, 65)]) {
    bodies.take('a', 'report', part(0, true));
    assert.equal(bodies.take('a', 'report', next).kind, 'lost');
  }
  bodies.take('a', 'report', part(0, true));
  assert.equal(bodies.take('a', 'profile', part(1, false)).kind, 'lost');
  assert.equal(bodies.take('a', 'report', part(0, false)).kind, 'whole');
});

void test('neither one body nor all of them grow without end', () => {
  const bodies = createRequestBodies(LIMITS);
  const big = /at most 4096 bytes/;
  assert.throws(() => bodies.take('a', 'report', message(Buffer.alloc(4097))), big);
  assert.throws(() => bodies.take('a', 'report', message(Buffer.alloc(1), coapOption('Size1', 4097))), big);
  for (let num = 0; num < 64; num++) assert.equal(bodies.take('a', 'report', part(num, true)).kind, 'more');
  assert.throws(() => bodies.take('a', 'report', part(64, true)), big);
  for (const sender of ['a', 'b', 'c']) bodies.take(sender, 'report', part(0, true));
  assert.equal(bodies.take('a', 'report', part(1, false)).kind, 'lost', 'the one silent longest goes');
  assert.equal(bodies.take('c', 'report', part(1, false)).kind, 'whole');
  assert.throws(
    () => bodies.take('a', 'report', message(Buffer.alloc(1), coapOption('Block1', Buffer.of(7)))),
    /Block1/,
  );
});
