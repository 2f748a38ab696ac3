import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_TENANT, tenantSchema } from '@leonore/protocol';
import { createEventBus, type NumberedEvent } from './mod.ts';

const other = tenantSchema.parse('other');
const gateway = (id: string) => ({ type: 'gateway', gateway: { id, connected: true } }) as const;

function watch(bus: ReturnType<typeof createEventBus>, afterId?: number) {
  const seen: NumberedEvent[] = [];
  const stop = bus.subscribe(DEFAULT_TENANT, (event) => seen.push(event), afterId);
  return { seen, stop, ids: () => seen.map(({ event }) => (event.type === 'gateway' ? event.gateway.id : event.type)) };
}

describe('the event bus', () => {
  it('tells each tenant its own events from the subscription on, until it stops', () => {
    const bus = createEventBus({ keep: 10 });
    bus.publish(DEFAULT_TENANT, gateway('before'));
    const watcher = watch(bus);
    bus.publish(DEFAULT_TENANT, gateway('a'));
    bus.publish(other, gateway('theirs'));
    watcher.stop();
    bus.publish(DEFAULT_TENANT, gateway('after'));
    assert.deepEqual(watcher.ids(), ['a']);
  });
  it('goes on after the last event that was seen', () => {
    const bus = createEventBus({ keep: 10 });
    const first = watch(bus);
    for (const id of ['a', 'b', 'c']) bus.publish(DEFAULT_TENANT, gateway(id));
    assert.deepEqual(watch(bus, first.seen[0]?.id).ids(), ['b', 'c']);
    assert.deepEqual(watch(bus, first.seen[2]?.id).ids(), []);
  });
  it('says reset when events are gone or belong to an earlier run', () => {
    const bus = createEventBus({ keep: 2 });
    for (let i = 0; i < 20; i++) bus.publish(DEFAULT_TENANT, gateway(String(i)));
    assert.deepEqual(watch(bus, 1).ids(), ['reset']);
    assert.deepEqual(watch(bus, 999).ids(), ['reset']);
  });
});
