import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  blockOf,
  blockOption,
  type CoapMessage,
  coapKey,
  coapOption,
  coapPath,
  coapProof,
  createCoapTransmitter,
  decodeCoap,
  emptyCoap,
  encodeCoap,
  parseCoapPath,
  resetOf,
  textsOf,
  uintOf,
} from './mod.ts';

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));

const message: fc.Arbitrary<CoapMessage> = fc.record({
  type: fc.constantFrom('con', 'non', 'ack', 'rst'),
  code: fc.constantFrom('0.01', '0.02', '0.07', '2.05', '2.31', '4.01', '4.13', '5.03'),
  id: fc.integer({ min: 0, max: 0xffff }),
  token: bytes(8),
  options: fc.array(
    fc.record({ name: fc.constantFrom('Uri-Path', 'Uri-Query', 'ETag', 'Block2', '65001'), value: bytes(255) }),
    { maxLength: 3 },
  ),
  payload: bytes(300),
});
const ORDER = ['ETag', 'Uri-Path', 'Uri-Query', 'Block2', '65001'];
const inOrder = (one: CoapMessage): CoapMessage => ({
  ...one,
  options: one.options
    .map((option) => ({ ...option }))
    .toSorted((a, b) => ORDER.indexOf(a.name) - ORDER.indexOf(b.name)),
});

void test('a message comes out as it went in, its options in their order', () => {
  fc.assert(
    fc.property(message, (one) => {
      assert.deepEqual(decodeCoap(encodeCoap(one)), inOrder(one));
    }),
  );
});

void test('no datagram is too strange: it is a message or none, and what asks for it is refused with as much as it sent', () => {
  fc.assert(
    fc.property(bytes(2000), fc.option(message), fc.nat(), (garbage, real, cut) => {
      const whole = real ? encodeCoap(real) : garbage;
      const datagram = whole.subarray(0, cut % (whole.length + 1));
      const decoded = decodeCoap(datagram);
      assert.ok(decoded === undefined || decoded.token.length <= 8);
      assert.ok((resetOf(datagram)?.length ?? 0) <= datagram.length);
    }),
  );
});

void test('what does not fit into a datagram is not sent as several', () => {
  const big = { ...emptyCoap('ack', 1), code: '2.05', payload: Buffer.alloc(1300) };
  assert.throws(() => encodeCoap(big), /packet size/);
});

void test('numbers and blocks have their shortest form', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => {
      const option = coapOption('Size2', value);
      assert.equal(uintOf({ options: [option] }, 'Size2'), value);
      assert.notEqual(option.value[0], 0);
    }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 20 - 1 }),
      fc.boolean(),
      fc.integer({ min: 4, max: 10 }),
      (num, more, exponent) => {
        const block = { num, more, size: 2 ** exponent };
        assert.deepEqual(blockOf({ options: [blockOption('Block1', block)] }, 'Block1'), block);
      },
    ),
  );
  for (const value of [Buffer.of(7), Buffer.of(0, 0, 0, 0)]) {
    assert.equal(blockOf({ options: [coapOption('Block2', value)] }, 'Block2'), 'malformed');
  }
  assert.equal(uintOf({ options: [coapOption('Observe', Buffer.alloc(5))] }, 'Observe'), undefined);
});

void test('paths have every character in them, and come back', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (tenant, id) => {
      const options = coapPath(tenant, id, 'package', '7', 'a b.tar').map((part) => coapOption('Uri-Path', part));
      const found = parseCoapPath(textsOf({ options }, 'Uri-Path'));
      const whole = (text: string) => Buffer.from(text).toString();
      assert.deepEqual(found, { tenant: whole(tenant), id: whole(id), resource: 'package', rest: ['7', 'a b.tar'] });
    }),
  );
  assert.equal(parseCoapPath(['leonore', 'v1', 'default', 'gw-1', 'constructor']), undefined);
});

void test('a proof is what openssl makes of the same words', () => {
  // printf 'GET /leonore/v1/default/gw%2F1/task?nonce=00ff' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf secret | sha256sum | cut -c1-64)
  assert.equal(
    coapProof(coapKey('secret'), 'GET', coapPath('default', 'gw/1', 'task'), ['nonce=00ff']),
    '42d1c031907747f5005ca137faecf8ca',
  );
});

const PEER = { address: '192.0.2.1', port: 5683 };
const content = { code: '0.01', token: Buffer.of(1), options: [], payload: Buffer.alloc(0) };
const TIMING = { ackTimeoutMs: 2000, ackRandomFactor: 1, maxRetransmit: 4 };

void test('what is not acknowledged is sent five times, ever more rarely, and then given up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent: Buffer[] = [];
  using transmitter = createCoapTransmitter((datagram) => sent.push(datagram), TIMING);
  const outcome = transmitter.confirm(PEER, content);
  const counts = [sent.length];
  for (const waitMs of [2000, 4000, 8000, 16_000]) {
    t.mock.timers.tick(waitMs - 1);
    counts.push(sent.length);
    t.mock.timers.tick(1);
  }
  assert.deepEqual([counts, sent.length], [[1, 1, 2, 3, 4], 5]);
  t.mock.timers.tick(32_000);
  assert.equal(await outcome, undefined);
  assert.equal(new Set(sent.map((datagram) => datagram.toString('hex'))).size, 1, 'it is the same message');
});

void test('an acknowledgement counts from whom it was asked of; an abort ends it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent: Buffer[] = [];
  using transmitter = createCoapTransmitter((datagram) => sent.push(datagram), TIMING);
  const outcome = transmitter.confirm(PEER, content);
  const ack = emptyCoap('ack', decodeCoap(sent[0] ?? Buffer.alloc(0))?.id ?? -1);
  transmitter.settle(ack, { ...PEER, port: 1 });
  t.mock.timers.tick(2000);
  assert.equal(sent.length, 2);
  transmitter.settle(ack, PEER);
  assert.equal(await outcome, ack);
  const stop = new AbortController();
  const second = transmitter.confirm(PEER, content, stop.signal);
  stop.abort();
  assert.equal(await second, undefined);
  t.mock.timers.tick(60_000);
  assert.equal(sent.length, 3);
});
