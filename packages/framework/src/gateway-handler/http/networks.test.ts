import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { networks, PRIVATE_NETWORKS } from './networks.ts';

describe('networks', () => {
  it('have the addresses that lie in them, in either form', () => {
    const some = networks(['10.0.0.0/8', '192.0.2.7', 'fd00::/8']);
    for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.7', 'fd00::1']) assert.ok(some(address), address);
    for (const address of ['11.0.0.1', '::ffff:11.0.0.1', '192.0.2.8', 'fe80::1', 'unix', '', undefined])
      assert.ok(!some(address), address);
    assert.ok(!networks([])('10.0.0.1'));
  });
  it('that are private are not those of the world', () => {
    const own = networks(PRIVATE_NETWORKS);
    const inside = ['127.0.0.1', '::ffff:127.0.0.1', '::1', '172.31.255.255', '169.254.1.1', 'fe80::1', 'fd12::1'];
    for (const address of inside) assert.ok(own(address), address);
    for (const address of ['172.32.0.1', '8.8.8.8', '2001:db8::1']) assert.ok(!own(address), address);
  });
  it('that are none are refused', () => {
    for (const text of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', 'fd00::/129'])
      assert.throws(
        () => networks([text]),
        (error) => isLeonoreError(error, 'config.invalid'),
        text,
      );
  });
});
