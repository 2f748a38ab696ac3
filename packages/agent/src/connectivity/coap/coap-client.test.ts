import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  type CoapContent,
  type CoapMessage,
  coapOption,
  decodeCoap,
  EMPTY,
  emptyCoap,
  encodeCoap,
  type LeonoreError,
  textsOf,
} from '@leonore/protocol';
import { createCoapClient } from './coap-client.ts';

/** Long enough that a busy machine is not taken for a lost datagram. */
const PATIENT = { ackTimeoutMs: 1000, maxRetransmit: 4 };
const TIMING = { ackTimeoutMs: 50, maxRetransmit: 2 };
const content = (token: Buffer, payload: string): CoapContent => ({
  code: '2.05',
  token,
  options: [],
  payload: Buffer.from(payload),
});

/** A server on a real socket, which does with each message what the test says. */
async function server(onMessage: (message: CoapMessage, send: (answer: CoapMessage) => void) => void) {
  const socket: Socket = createSocket('udp4');
  const heard: CoapMessage[] = [];
  socket.on('message', (datagram, { address, port }) => {
    const message = decodeCoap(datagram);
    assert.ok(message);
    heard.push(message);
    onMessage(message, (answer) => socket.send(encodeCoap(answer), port, address));
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    url: `coap://127.0.0.1:${socket.address().port}`,
    heard,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  };
}

void test('an answer comes with the acknowledgement, after it, or without one, and is asked for until it does', async () => {
  let ignored = 0;
  await using there = await server((message, send) => {
    const [way] = textsOf(message, 'Uri-Path');
    if (message.type !== 'con') return;
    if (way === 'lost' && ignored++ === 0) return;
    if (way === 'later') send(emptyCoap('ack', message.id));
    const alone = way === 'later' || way === 'alone';
    send({ ...content(message.token, way ?? ''), type: alone ? 'con' : 'ack', id: alone ? 7 : message.id });
  });
  await using client = await createCoapClient({ url: there.url, timing: PATIENT, onLost: assert.fail });
  const ways = ['at once', 'later', 'alone', 'lost'];
  const answers = await Promise.all(ways.map((way) => client.ask({ method: 'GET', path: [way] })));
  assert.deepEqual(
    answers.map(({ payload }) => payload.toString()),
    ways,
  );
  const acknowledged = there.heard.filter(({ type, id }) => type === 'ack' && id === 7);
  assert.ok(acknowledged.length >= 2);
});

void test('one that asks nobody in particular is told what it observes, in order, and refuses the rest', async () => {
  const token = Buffer.of(1, 2);
  const notification = (sequence: number, id: number, to = token): CoapMessage => ({
    ...content(to, `${sequence}`),
    options: [coapOption('Observe', sequence)],
    type: 'con',
    id,
  });
  await using there = await server((message, send) => {
    if (message.code === EMPTY) return;
    send({ ...content(message.token, ''), type: 'ack', id: message.id });
    for (const [i, sequence] of [5, 6, 6, 4, 7].entries()) send(notification(sequence, 100 + i));
    send(notification(8, 200, Buffer.of(9)));
  });
  await using client = await createCoapClient({ url: there.url, timing: PATIENT, onLost: assert.fail });
  const told: string[] = [];
  const all = Promise.withResolvers<void>();
  using _watch = client.observe(token, ({ payload }) => {
    told.push(payload.toString());
    if (payload.toString() === '7') all.resolve();
  });
  await client.ask({ method: 'GET', path: [] });
  await all.promise;
  // By now there is an answer to each of the messages before.
  await client.ask({ method: 'GET', path: [] });
  assert.deepEqual(told.slice(0, 3), ['5', '6', '7']);
  const said = there.heard.filter(({ type, id }) => type !== 'con' && id <= 200).slice(0, 6);
  assert.deepEqual(
    said.map(({ type, id }) => `${type} ${id}`),
    ['ack 100', 'ack 101', 'ack 102', 'ack 103', 'ack 104', 'rst 200'],
  );
});

void test('where nobody answers, or listens, it is said so; an abort is one', async () => {
  const lost: LeonoreError[] = [];
  const onLost = (error: LeonoreError): void => void lost.push(error);
  let gone = '';
  {
    await using there = await server(() => undefined);
    gone = there.url;
    await using client = await createCoapClient({ url: there.url, timing: TIMING, onLost });
    await assert.rejects(client.ask({ method: 'GET', path: [] }), { code: 'server.unreachable' });
    assert.equal(there.heard.length, 3);
    assert.equal(new Set(there.heard.map(({ id }) => id)).size, 1);
    lost.length = 0;
    const stop = new AbortController();
    const asked = client.ask({ method: 'GET', path: [] }, stop.signal);
    stop.abort(new Error('enough'));
    await assert.rejects(asked, /enough/);
    assert.deepEqual(lost, []);
  }
  await using client = await createCoapClient({ url: gone, timing: TIMING, onLost });
  await assert.rejects(client.ask({ method: 'GET', path: [] }), { code: 'server.unreachable' });
  assert.ok(lost.length > 0);
  await assert.rejects(createCoapClient({ url: 'http://node', timing: TIMING, onLost }), /no coap:\/\/ address/);
});
