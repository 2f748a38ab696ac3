import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GatewayId, Tenant } from '@leonore/protocol';
import { createPollWatch } from './poll-watch.ts';

const tenant = 'default' as Tenant;
const [a, b, c] = ['a', 'b', 'c'] as GatewayId[] as [GatewayId, GatewayId, GatewayId];

describe('the watch over polls', () => {
  it('names who comes more often than it may need, as long as it does', () => {
    let now = 0;
    const watch = createPollWatch({ now: () => now });
    const polls = Array.from({ length: 7 }, () => watch.polled(tenant, a, 300));
    assert.deepEqual(polls, [0, 0, 0, 0, 0, 1, 2]);
    assert.equal(watch.hasty(tenant, a), 7);
    assert.equal(watch.hasty(tenant, b), undefined);
    assert.equal(watch.hasty('other' as Tenant, a), undefined);
    now = 300_000;
    assert.equal(watch.hasty(tenant, a), undefined);
    for (let i = 0; i < 20; i++, now += 300_000) assert.equal(watch.polled(tenant, a, 300), 0);
  });
  it('keeps no more gateways than it may', () => {
    const watch = createPollWatch({ now: () => 0 }, 2);
    const often = (id: GatewayId) => Array.from({ length: 6 }, () => watch.polled(tenant, id, 300));
    for (const id of [a, b, c]) often(id);
    assert.deepEqual(
      [a, b, c].map((id) => watch.hasty(tenant, id)),
      [undefined, 6, 6],
    );
  });
});
