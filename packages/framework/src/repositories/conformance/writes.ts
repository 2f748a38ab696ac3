/** What every driver must keep of its promise on `read` and `write`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { type OpenEmpty, useDatabase } from './database.ts';
import { gateway, gatewayId, rollout, task, token } from './samples.ts';

export function writesConform(open: OpenEmpty): void {
  describe('writes', () => {
    const db = useDatabase(open);

    it('that throw leave nothing, and their neighbours stand', async () => {
      const tenant = db.newTenant();
      await db.write((set) => set.gateways.insertToken(tenant, token('taken')));
      const outcomes = await Promise.allSettled(
        Array.from({ length: 40 }, (_, i) => {
          const id = `gw-${String(i).padStart(2, '0')}`;
          // 1: throws at once, 2: throws after its inserts, 3: the database refuses it after its inserts.
          if (i % 4 === 1) {
            return db.write(() => {
              throw new Error(`${id} at once`);
            });
          }
          return db.write(async (set) => {
            await set.gateways.insert(tenant, gateway(id, { labels: { n: id } }));
            await set.rollouts.insertTasks(tenant, [task(await set.rollouts.insert(tenant, rollout()), id)]);
            if (i % 4 === 2) throw new Error(`${id} afterwards`);
            if (i % 4 === 3) await set.gateways.insertToken(tenant, token('taken'));
            return id;
          });
        }),
      );
      const stand = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      assert.deepEqual(
        stand,
        ['00', '04', '08', '12', '16', '20', '24', '28', '32', '36'].map((n) => `gw-${n}`),
      );
      for (const [i, outcome] of outcomes.entries()) {
        if (i % 4 === 1) assert.match(String(outcome.status === 'rejected' && outcome.reason), /at once/);
        if (i % 4 === 2) assert.match(String(outcome.status === 'rejected' && outcome.reason), /afterwards/);
      }
      const { items } = await db.read.gateways.list(tenant, { limit: 100 });
      assert.deepEqual(
        items.map(({ id }) => id),
        stand,
      );
      const tasks = await db.read.rollouts.listTasks(tenant, { limit: 100 });
      assert.deepEqual(tasks.items.map(({ gateway }) => gateway as string).toSorted(), stand);
      assert.equal((await db.read.rollouts.list(tenant, { limit: 100 })).items.length, 10);
      const keys = await db.read.gateways.selectorKeys(tenant);
      assert.ok(keys.includes('n'));
    });

    it('see what they wrote, and others see it only once the promise is fulfilled', async () => {
      const tenant = db.newTenant();
      const id = gatewayId('gw');
      const seen = await db.write(async (set) => {
        await set.gateways.insert(tenant, gateway('gw'));
        return { inside: await set.gateways.find(tenant, id), outside: await db.read.gateways.find(tenant, id) };
      });
      assert.ok(seen.inside);
      assert.equal(seen.outside, undefined);
      assert.ok(await db.read.gateways.find(tenant, id));
    });

    it('begun inside another are refused rather than waited for', async () => {
      const tenant = db.newTenant();
      await assert.rejects(
        db.write(() => db.write((set) => set.gateways.insert(tenant, gateway('inner')))),
        /inside another write/,
      );
      // A listener that was called inside a write may write later.
      const ended = Promise.withResolvers<void>();
      const later = Promise.withResolvers<boolean>();
      await db.write(async (set) => {
        const write = () => db.write((inner) => inner.gateways.insert(tenant, gateway('later')));
        ended.promise.then(write).then(later.resolve, later.reject);
        return set.gateways.insert(tenant, gateway('outer'));
      });
      ended.resolve();
      assert.equal(await later.promise, true);
    });

    it('answer ping while open; once closed, everything is refused with words', async () => {
      const own = await open();
      await own.ping();
      const last = own.write((set) => set.gateways.insert(db.newTenant(), gateway('last')));
      const closing = own[Symbol.asyncDispose]();
      assert.equal(await last, true);
      await closing;
      await own[Symbol.asyncDispose]();
      const stopping = (error: unknown) => isLeonoreError(error, 'server.stopping');
      await assert.rejects(own.ping(), stopping);
      await assert.rejects(own.read.gateways.count(db.newTenant()), stopping);
      await assert.rejects(
        own.write((set) => set.gateways.count(db.newTenant())),
        stopping,
      );
    });
  });
}
