import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  COAP_METHODS,
  type CoapMessage,
  coapOption,
  type CoapPeer,
  createCoapTransmitter,
  decodeCoap,
  emptyCoap,
  encodeCoap,
} from '@leonore/protocol';
import fc from 'fast-check';
import { type CoapAnswer, type CoapRequest, createExchanges } from './exchanges.ts';

const PEER: CoapPeer = { address: '192.0.2.7', port: 40_000 };
const OK: CoapAnswer = { code: '2.04' };

function bench(answer: (request: CoapRequest) => Promise<CoapAnswer> = async () => OK) {
  const sent: { readonly message: CoapMessage; readonly peer: CoapPeer }[] = [];
  const errors: unknown[] = [];
  const asked: CoapRequest[] = [];
  const clock = { ms: 0 };
  const send = (datagram: Buffer, peer: CoapPeer): void => {
    const message = decodeCoap(datagram);
    assert.ok(message);
    sent.push({ message, peer });
  };
  const transmitter = createCoapTransmitter(send, { maxRetransmit: 0, ackTimeoutMs: 1 });
  const exchanges = createExchanges({
    send,
    transmitter,
    answer(request) {
      asked.push(request);
      return answer(request);
    },
    onError: (error) => errors.push(error),
    elapsed: () => clock.ms,
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { exchanges, sent, errors, asked, clock, settled };
}

let id = 0;
function request(more: Partial<CoapMessage> = {}): Buffer {
  id = (id + 1) & 0xffff;
  const nothing = Buffer.alloc(0);
  return encodeCoap({
    type: 'con',
    code: COAP_METHODS.POST,
    id,
    token: Buffer.of(7),
    options: [],
    payload: nothing,
    ...more,
  });
}

void test('garbage is answered with no more than it is, and nothing is thrown', async () => {
  const { exchanges, sent, errors, settled } = bench();
  const datagrams = fc.oneof(
    fc.uint8Array({ maxLength: 1500 }),
    // Nearly right: a header, then anything.
    fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([request().subarray(0, 4), rest])),
  );
  await fc.assert(
    fc.asyncProperty(datagrams, async (bytes) => {
      const before = sent.length;
      exchanges.receive(Buffer.from(bytes), PEER);
      await settled();
      const answers = sent.slice(before).map(({ message }) => encodeCoap(message).length);
      assert.ok(answers.length <= 1 && answers.every((length) => length <= Math.max(bytes.length, 16)));
    }),
  );
  assert.deepEqual(errors, []);
});

void test('a request that comes again is answered again and acted on once, also while it is under way', async () => {
  const gate = Promise.withResolvers<CoapAnswer>();
  const { exchanges, sent, asked, clock, settled } = bench(() => gate.promise);
  const datagram = request();
  exchanges.receive(datagram, PEER);
  exchanges.receive(datagram, PEER);
  assert.deepEqual([asked.length, sent.length], [1, 0]);
  gate.resolve(OK);
  await settled();
  exchanges.receive(datagram, PEER);
  await settled();
  assert.deepEqual(
    [asked.length, ...sent.map(({ message }) => `${message.type} ${message.code}`)],
    [1, 'ack 2.04', 'ack 2.04'],
  );
  // The same id is another request from somebody else, and after it may be used again.
  exchanges.receive(datagram, { ...PEER, port: 40_001 });
  clock.ms += 300_000;
  exchanges.receive(datagram, PEER);
  await settled();
  assert.equal(asked.length, 3);
});

void test('what is remembered of requests does not grow without end', async () => {
  const { exchanges, sent, asked, settled } = bench();
  const first = request({ token: randomBytes(8) });
  exchanges.receive(first, PEER);
  for (let i = 0; i < 5000; i++) {
    exchanges.receive(request({ token: randomBytes(8) }), PEER);
    if (i % 500 === 0) await settled();
  }
  await settled();
  assert.equal(sent.length, 5001);
  exchanges.receive(first, PEER);
  await settled();
  assert.equal(asked.length, 5002, 'the oldest was forgotten');
});

void test('more than can be worked on at a time is sent away', async () => {
  const gate = Promise.withResolvers<CoapAnswer>();
  const { exchanges, sent, settled } = bench(() => gate.promise);
  for (let i = 0; i < 1001; i++) exchanges.receive(request({ token: randomBytes(8) }), PEER);
  assert.deepEqual(
    sent.map(({ message }) => message.code),
    ['5.03'],
  );
  gate.resolve(OK);
  await settled();
});

void test('an answer that takes long comes by itself, after the request was acknowledged', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const gate = Promise.withResolvers<CoapAnswer>();
  const { exchanges, sent } = bench(() => gate.promise);
  exchanges.receive(request({ type: 'con' }), PEER);
  t.mock.timers.tick(1000);
  gate.resolve(OK);
  for (let i = 0; i < 10; i++) await Promise.resolve();
  assert.deepEqual(
    sent.map(({ message }) => `${message.type} ${message.code} ${message.token.toString('hex')}`),
    ['ack 0.00 ', 'con 2.04 07'],
  );
});

void test('pings are answered, unknown critical options, proxying and methods refused, others let pass', async () => {
  const { exchanges, sent, settled } = bench();
  const code = async (datagram: Buffer): Promise<string | undefined> => {
    const before = sent.length;
    exchanges.receive(datagram, PEER);
    await settled();
    const answer = sent[before]?.message;
    return answer && `${answer.type} ${answer.code}`;
  };
  assert.equal(await code(encodeCoap({ ...emptyCoap('ack', 1), type: 'con' })), 'rst 0.00');
  assert.equal(await code(request({ options: [{ name: '65001', value: Buffer.of(1) }] })), 'ack 4.02');
  assert.equal(await code(request({ options: [coapOption('If-Match', 'x')] })), 'ack 4.02');
  assert.equal(await code(request({ options: [coapOption('Proxy-Uri', 'coap://x')] })), 'ack 5.05');
  assert.equal(await code(request({ code: '0.31' })), 'ack 4.05');
  assert.equal(await code(request({ options: [{ name: '65002', value: Buffer.of(1) }] })), 'ack 2.04');
  assert.equal(await code(request({ type: 'non' })), 'non 2.04');
  assert.equal(await code(encodeCoap(emptyCoap('ack', 9))), undefined);
});
