import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CoapContent,
  type CoapMessage,
  coapOption,
  type CoapPeer,
  emptyCoap,
  type GatewayId,
  type Tenant,
  uintOf,
} from '@leonore/protocol';
import type { CoapAnswer } from './exchanges.ts';
import { createObservers, type Observer } from './observers.ts';

const TENANT = 'default' as Tenant;
const ID = 'gw-1' as GatewayId;

function bench() {
  const state = { version: 1, acknowledges: true as boolean | 'never' };
  const told: { readonly peer: CoapPeer; readonly content: CoapContent }[] = [];
  const gone: string[] = [];
  const represent = async (): Promise<CoapAnswer> => ({
    code: '2.05',
    options: [coapOption('ETag', state.version)],
    payload: Buffer.from(String(state.version)),
  });
  const observers = createObservers(
    {
      transmitter: {
        async confirm(peer, content, signal): Promise<CoapMessage | undefined> {
          told.push({ peer, content });
          if (state.acknowledges === 'never') {
            await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
            return undefined;
          }
          return emptyCoap(state.acknowledges ? 'ack' : 'rst', 1);
        },
      },
      represent,
      onGone: ({ id }) => void gone.push(id),
      onError: (error) => assert.fail(String(error)),
    },
    { silentMs: 0, lookMs: 1 },
  );
  const observer = (port: number, token = 1): Observer => ({
    tenant: TENANT,
    id: ID,
    peer: { address: '192.0.2.1', port },
    message: { ...emptyCoap('ack', 1), token: Buffer.of(token) },
  });
  return { observers, state, told, gone, observer, represent };
}

void test('a change is told once, in an order that can be seen, to the last who asked', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { observers, state, told, observer, represent } = bench();
  assert.equal(observers.add(observer(1), await represent()).isNew, true);
  const { isNew, sequence } = observers.add(observer(2), await represent());
  assert.equal(isNew, false);
  await observers.notify(TENANT, ID);
  assert.equal(told.length, 0, 'it was told with the answer');
  state.version = 2;
  await Promise.all([observers.notify(TENANT, ID), observers.notify(TENANT, ID)]);
  assert.deepEqual(
    told.map(({ peer, content }) => [peer.port, content.payload.toString()]),
    [[2, '2']],
  );
  state.version = 3;
  await observers.notify(TENANT, ID);
  const sequences = told.map(({ content }) => uintOf(content, 'Observe') ?? 0);
  assert.deepEqual(
    sequences.toSorted((a, b) => a - b),
    sequences,
  );
  assert.ok((sequences[0] ?? 0) > sequence);
  observers.end();
});

void test('what is still under way when there is news is given up, and the observer is not', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { observers, state, told, gone, observer, represent } = bench();
  observers.add(observer(1), await represent());
  state.version = 2;
  state.acknowledges = 'never';
  const first = observers.notify(TENANT, ID);
  await Promise.resolve();
  state.version = 3;
  state.acknowledges = true;
  await observers.notify(TENANT, ID);
  await first;
  assert.deepEqual(
    told.map(({ content }) => content.payload.toString()),
    ['2', '3'],
  );
  assert.deepEqual([gone, observers.size], [[], 1]);
  observers.end();
});

void test('who is silent is asked for, and forgotten when nobody is there', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { observers, state, told, gone, observer, represent } = bench();
  observers.add(observer(1), await represent());
  t.mock.timers.tick(1);
  for (let i = 0; i < 10; i++) await Promise.resolve();
  assert.deepEqual([told.length, observers.size], [1, 1], 'told again what it knows, to see whether it is there');
  state.acknowledges = false;
  t.mock.timers.tick(1);
  for (let i = 0; i < 10; i++) await Promise.resolve();
  assert.deepEqual([gone, observers.size], [[ID], 0]);
  observers.end();
});

void test('an observation ends by its token', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { observers, gone, observer, represent } = bench();
  observers.add(observer(1, 1), await represent());
  observers.remove(TENANT, ID, Buffer.of(2));
  assert.equal(observers.has(TENANT, ID), true);
  observers.remove(TENANT, ID, Buffer.of(1));
  assert.deepEqual([gone, observers.has(TENANT, ID)], [[ID], false]);
  observers.end();
});
