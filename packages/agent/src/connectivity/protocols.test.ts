import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protocolsNamed } from './protocols.ts';

const names = (wanted?: readonly string[]) => protocolsNamed(wanted).map(({ name }) => name);

void test('protocols are spoken in the order of the owner; CoAP only when it is asked for', () => {
  assert.deepEqual(names(), ['mqtt', 'http']);
  assert.deepEqual(names(['coap', 'http']), ['coap', 'http']);
  assert.throws(() => names(['http', 'smoke']), /"smoke" is no protocol of this agent; it speaks mqtt, http, coap/);
});

void test('CoAP is spoken where the server offers it', () => {
  const gateway = { server: 'http://node', tenant: 'default', id: 'gw-1', secret: 's' };
  const [coap] = protocolsNamed(['coap']);
  assert.deepEqual(coap?.offer({ ddiUrl: 'http://node', coapUrl: 'coap://node:5683' }, gateway), {
    address: 'coap://node:5683',
  });
  assert.deepEqual(coap?.offer({ ddiUrl: 'http://node' }, gateway), { not: 'the server offers no CoAP' });
});
