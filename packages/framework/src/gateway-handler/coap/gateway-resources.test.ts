/** What strangers get out of it: few words, and no more bytes than about what they sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  COAP_METHODS,
  type CoapMethod,
  coapKey,
  coapPath,
  coapProof,
  emptyCoap,
  LeonoreError,
  optionOf,
  type Tenant,
} from '@leonore/protocol';
import fc from 'fast-check';
import { createNonces } from './credentials.ts';
import type { CoapRequest } from './exchanges.ts';
import { createGatewayResources } from './gateway-resources.ts';
import { createRequestBodies } from './request-bodies.ts';

const TOKEN = 'secret';
const PEER = { address: '192.0.2.9', port: 1 };

function bench() {
  const clock = { ms: 0 };
  const nonces = createNonces(() => clock.ms);
  const seen: string[] = [];
  const errors: unknown[] = [];
  const never = (): never => assert.fail('nobody gets here');
  const resources = createGatewayResources(
    {
      gateways: {
        async authenticateProof(_tenant, id, holds) {
          if (id !== 'gw-1' || !holds(coapKey(TOKEN))) throw new LeonoreError('auth.wrong', 'wrong');
        },
        seen: (_tenant, id) => void seen.push(id),
        get: never,
        putProfile: never,
      },
      tasks: never,
      nonces,
      bodies: createRequestBodies({ maxBytes: 1000, maxTransfers: 1 }),
      packages: { open: never },
      observe: never,
      unobserve: never,
      onError: (error) => errors.push(error),
    },
    { tenants: new Set(['default' as Tenant]), baseUrl: () => 'http://node', pollIntervalSeconds: 60 },
  );
  const ask = (method: CoapMethod, path: readonly string[], query: readonly string[] = [], peer = PEER) => {
    const message = { ...emptyCoap('ack', 1), code: COAP_METHODS[method], payload: Buffer.from('{}') };
    const request: CoapRequest = { peer, method, path, query, message };
    return resources.answer(request);
  };
  return { ask, nonces, clock, seen, errors };
}

const word = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.constantFrom('leonore', 'v1', 'default', 'gw-1', 'task', 'nonce'),
);
const METHODS = Object.keys(COAP_METHODS) as CoapMethod[];

void test('whatever a stranger asks is answered in a few bytes, and touches nothing', async () => {
  const { ask, seen, errors } = bench();
  const path = fc.oneof(
    fc.array(word, { maxLength: 8 }),
    fc.tuple(word, word).map(([tenant, id]) => coapPath(tenant, id, 'task')),
    fc.constantFrom(['.well-known', 'core'], ['leonore', 'v1', 'nonce']),
  );
  const query = fc.array(
    fc.oneof(
      word,
      word.map((text) => `nonce=${text}`),
      word.map((text) => `proof=${text}`),
    ),
    { maxLength: 4 },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...METHODS), path, query, async (method, to, how) => {
      const { payload = Buffer.alloc(0), options = [] } = await ask(method, to, how);
      const length = options.reduce((sum, { value }) => sum + value.length + 2, payload.length);
      assert.ok(length <= 96, `${length} bytes for ${to.join('/')}`);
    }),
    { numRuns: 500 },
  );
  assert.deepEqual([seen, errors], [[], []]);
});

void test('a proof holds for its method, path, query, address and time', async () => {
  const { ask, nonces, clock, seen } = bench();
  const path = coapPath('default', 'gw-1', 'report', 'x');
  const prove = (nonce: string, token = TOKEN): string[] => {
    const query = [`nonce=${nonce}`];
    return [...query, `proof=${coapProof(coapKey(token), 'POST', path, query)}`];
  };
  const good = prove(nonces.give(PEER.address));
  const words = async (...how: Parameters<typeof ask>): Promise<string> => {
    const { code, payload } = await ask(...how);
    return `${code} ${String(payload)}`;
  };
  assert.match(await words('POST', path, good), /^4\.00 request\.invalid: send the sha256/);
  assert.deepEqual(seen, ['gw-1']);
  assert.match(await words('PUT', path, good), /^4\.01 auth\.wrong/);
  assert.match(await words('POST', coapPath('default', 'gw-1', 'report', 'y'), good), /^4\.01 auth\.wrong/);
  assert.match(await words('POST', path, [...good, 'sha256=00']), /^4\.01 auth\.wrong/);
  assert.match(await words('POST', path, good, { ...PEER, address: '192.0.2.10' }), /^4\.01 auth\.wrong: old nonce/);
  assert.match(await words('POST', path, good, { ...PEER, port: 2 }), /^4\.00/, 'a router may change the port');
  assert.match(await words('POST', path, prove(nonces.give(PEER.address), 'other')), /^4\.01/);
  assert.match(await words('POST', path, prove('ffffffff0000000000000000')), /^4\.01 auth\.wrong: old nonce/);
  clock.ms += 601_000;
  assert.match(await words('POST', path, good), /^4\.01 auth\.wrong: old nonce/);
  assert.deepEqual(seen, ['gw-1', 'gw-1']);
});

void test('what is there can be read in small blocks', async () => {
  const { ask } = bench();
  const { code, payload, options = [] } = await ask('GET', ['.well-known', 'core']);
  assert.equal(code, '2.05');
  assert.match(String(payload), /^<\/leonore\/v1\/nonce>/);
  assert.deepEqual(optionOf({ options }, 'Block2'), Buffer.of(8 + 2), 'block 0 of several, of 64 bytes each');
});
