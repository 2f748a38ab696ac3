/** What every driver's gateway repository must do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ArtifactName, EMPTY_PROFILE, isLeonoreError, parseSelector, type RolloutId } from '@leonore/protocol';
import type { DesiredApplication, GatewayRecord } from '../contract.ts';
import { type OpenEmpty, type TestDatabase, useDatabase } from './database.ts';
import { gateway, gatewayId, sha, token } from './samples.ts';

export function gatewayRepositoryConforms(open: OpenEmpty): void {
  describe('gateways', () => {
    const db = useDatabase(open);

    it('gives back what was inserted, and refuses a taken id', async () => {
      const tenant = db.newTenant();
      const full = gateway('full', {
        profile: { ...EMPTY_PROFILE, os: 'linux', installed: [], attributes: { 'it\0s': 'v\0' } },
        labels: { site: 'wien' },
        tokenHash: sha('secret'),
        lastSeenAt: 1,
        connectedNode: 'node-1',
        desired: [application('svm', 1)],
      });
      const bare = gateway('bare');
      await db.write(async (set) => {
        assert.equal(await set.gateways.insert(tenant, full), true);
        assert.equal(await set.gateways.insert(tenant, bare), true);
        assert.equal(await set.gateways.insert(tenant, { ...bare, origin: 'ddi' }), false);
      });
      assert.deepEqual(await db.read.gateways.find(tenant, full.id), full);
      assert.deepEqual(await db.read.gateways.find(tenant, bare.id), bare);
      assert.equal(await db.read.gateways.find(tenant, gatewayId('none')), undefined);
      const many = await db.read.gateways.findMany(tenant, [bare.id, full.id, gatewayId('none')]);
      assert.deepEqual(new Set(many.map(({ id }) => id)), new Set([bare.id, full.id]));
    });

    it('notes once who confirms in the name of a gateway, and whether its attributes are known', async () => {
      const tenant = db.newTenant();
      const other = db.newTenant();
      for (const owner of [tenant, other]) await db.write((set) => set.gateways.insert(owner, gateway('gw')));
      const id = gatewayId('gw');
      const by = { initiator: 'mill', activatedAt: 7 };
      const on = () => db.write((set) => set.gateways.setAutoConfirm(tenant, id, by));
      assert.deepEqual(await Promise.all([on(), on()]), [true, false]);
      await db.write((set) => set.gateways.setAttributesKnown(tenant, id, true));
      assert.deepEqual(
        await db.read.gateways.find(tenant, id),
        gateway('gw', { autoConfirm: by, attributesKnown: true }),
      );
      assert.deepEqual(await db.read.gateways.find(other, id), gateway('gw'));
      const off = () => db.write((set) => set.gateways.setAutoConfirm(tenant, id, undefined));
      assert.deepEqual([await off(), await off()], [true, false]);
      await db.write((set) => set.gateways.setAttributesKnown(tenant, id, false));
      assert.deepEqual(await db.read.gateways.find(tenant, id), gateway('gw'));
    });

    it('never puts an older sign of life in place of a newer one', async () => {
      const tenant = await withGateways(db, ['a', 'b', 'c']);
      const touch = (...seen: [string, number][]) =>
        db.write((set) => set.gateways.touch(tenant, new Map(seen.map(([id, at]) => [gatewayId(id), at]))));
      await touch(['a', 100], ['b', 100], ['unknown', 100]);
      await touch(['a', 50], ['b', 1_900_000_000_000]);
      await touch();
      assert.deepEqual(await column(db, tenant, 'lastSeenAt'), [100, 1_900_000_000_000, undefined]);
    });

    it('touches thousands at once', async () => {
      const tenant = db.newTenant();
      const ids = numbered(1200);
      await db.write(async (set) => {
        for (const id of ids) await set.gateways.insert(tenant, gateway(id));
      });
      const seen = new Map(ids.map((id, i) => [gatewayId(id), 10_000 + i]));
      await db.write((set) => set.gateways.touch(tenant, seen));
      const found = await db.read.gateways.findMany(tenant, [...seen.keys()]);
      assert.equal(found.length, 1200);
      assert.ok(found.every(({ id, lastSeenAt }) => seen.get(id) === lastSeenAt));
    });

    it('clears a connection only for the node that holds it', async () => {
      const tenant = await withGateways(db, ['a', 'b', 'c']);
      await db.write(async (set) => {
        await set.gateways.setConnected(tenant, gatewayId('a'), 'old');
        await set.gateways.setConnected(tenant, gatewayId('a'), 'new');
        await set.gateways.setConnected(tenant, gatewayId('a'), undefined, 'old');
        await set.gateways.setConnected(tenant, gatewayId('b'), 'new');
        await set.gateways.setConnected(tenant, gatewayId('b'), undefined, 'new');
        await set.gateways.setConnected(tenant, gatewayId('c'), 'old');
      });
      assert.deepEqual(await column(db, tenant, 'connectedNode'), ['new', undefined, 'old']);
      await db.write((set) => set.gateways.clearConnections('old'));
      assert.deepEqual(await column(db, tenant, 'connectedNode'), ['new', undefined, undefined]);
      await db.write((set) => set.gateways.setConnected(tenant, gatewayId('a'), undefined));
      assert.deepEqual(await column(db, tenant, 'connectedNode'), [undefined, undefined, undefined]);
    });

    it('changes the desired state of many: in place by name, new ones last', async () => {
      const ids = numbered(700);
      const tenant = await withGateways(db, ids);
      const change = (of: string[], set: DesiredApplication[], remove: string[] = []) =>
        db.write((repositories) => repositories.gateways.changeDesired(tenant, of.map(gatewayId), { set, remove }));
      await change(ids, [application('svm', 1), application('jvm', 1), application('old', 1)]);
      await change(
        [...ids.slice(0, 600), 'unknown'],
        [application('new', 2), application('svm', 2, '^2')],
        ['old', 'never'],
      );
      const shown = ({ desired }: GatewayRecord) =>
        desired.map(({ name, range, rollout }) => `${name}@${range} ${rollout}`);
      const found = await db.read.gateways.findMany(tenant, ids.map(gatewayId));
      const byId = new Map(found.map((record) => [record.id as string, shown(record)]));
      for (const [i, id] of ids.entries()) {
        assert.deepEqual(
          byId.get(id),
          i < 600 ? ['svm@^2 2', 'jvm@* 1', 'new@* 2'] : ['svm@* 1', 'jvm@* 1', 'old@* 1'],
        );
      }
    });

    it('loses no change of a desired state when many are made at once', async () => {
      const tenant = await withGateways(db, ['a']);
      const names = numbered(20);
      await Promise.all(
        names.map((name) =>
          db.write((set) =>
            set.gateways.changeDesired(tenant, [gatewayId('a')], { set: [application(name, 1)], remove: [] }),
          ),
        ),
      );
      const found = await db.read.gateways.find(tenant, gatewayId('a'));
      assert.deepEqual(found?.desired.map(({ name }) => name as string).toSorted(), names);
    });

    it('loses no part of a profile that many read, change and write at once', async () => {
      const tenant = await withGateways(db, ['a']);
      await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          db.write(async (set) => {
            const { profile } = (await set.gateways.find(tenant, gatewayId('a')))!;
            const labels = { ...profile.labels, [`k${i}`]: 'v' };
            await set.gateways.setProfile(tenant, gatewayId('a'), { ...profile, labels });
          }),
        ),
      );
      assert.equal(Object.keys((await db.read.gateways.find(tenant, gatewayId('a')))!.profile.labels).length, 12);
      const all = Array.from({ length: 12 }, (_, i) => `k${i}=v`).join(',');
      assert.equal(await db.read.gateways.count(tenant, parseSelector(all)), 1);
    });

    it('removes a gateway with everything that selects it', async () => {
      const tenant = await withGateways(db, ['a', 'b']);
      await db.write((set) => set.gateways.setLabels(tenant, gatewayId('a'), { only: 'here' }));
      const remove = () => db.write((set) => set.gateways.remove(tenant, gatewayId('a')));
      assert.deepEqual([await remove(), await remove()], [true, false]);
      assert.equal(await db.read.gateways.find(tenant, gatewayId('a')), undefined);
      assert.ok(!(await db.read.gateways.selectorKeys(tenant)).includes('only'));
      // The id is free again, and what comes with it is only its own.
      await db.write((set) => set.gateways.insert(tenant, gateway('a')));
      assert.equal(await db.read.gateways.count(tenant, parseSelector('only')), 0);
    });

    it('selects and counts by what is installed, as profiles change', async () => {
      const tenant = db.newTenant();
      const ids = numbered(1200);
      const version = (i: number) => (i % 3 === 0 ? '1.2.28' : '1.2.27');
      await db.write(async (set) => {
        for (const [i, id] of ids.entries()) await set.gateways.insert(tenant, running(id, { svm: version(i) }));
        await set.gateways.insert(tenant, running('x-jvm', { 'jvm-17': '17.0.1', svm: '2.0.0-rc.1' }));
        await set.gateways.insert(tenant, running('x-nothing', {}));
        await set.gateways.insert(tenant, gateway('x-silent'));
      });
      const count = (text: string) => db.read.gateways.count(tenant, parseSelector(text));
      const versions = () => db.read.gateways.installedVersions(tenant, 'svm');
      assert.deepEqual(await versions(), [
        { version: '1.2.27', gateways: 800 },
        { version: '1.2.28', gateways: 400 },
        { version: '2.0.0-rc.1', gateways: 1 },
      ]);
      assert.equal(await count('app/svm=1.2.28'), 400);
      assert.equal(await count('app/svm in (1.2.28,2.0.0-rc.1)'), 401);
      assert.equal(await count('app/svm'), 1201);
      assert.equal(await count('app/svm,app/jvm-17'), 1);
      assert.equal(await count('!app/svm'), 2);
      assert.equal(await count('app/svm!=1.2.28'), 803);
      assert.ok((await db.read.gateways.selectorKeys(tenant)).includes('app/jvm-17'));
      const first = await db.read.gateways.gatewaysRunning(tenant, 'svm', ['2.0.0-rc.1', '1.2.28', '9.9.9'], 3);
      assert.deepEqual(
        first.map(({ id, version: one }) => [id, one]),
        [
          [ids[0], '1.2.28'],
          [ids[3], '1.2.28'],
          [ids[6], '1.2.28'],
        ],
      );
      assert.equal((await db.read.gateways.gatewaysRunning(tenant, 'svm', ['2.0.0-rc.1'], 3))[0]?.id, 'x-jvm');
      assert.deepEqual(await db.read.gateways.gatewaysRunning(tenant, 'svm', [], 3), []);
      assert.deepEqual(await db.read.gateways.installedVersions(tenant, 'nobody'), []);

      // One is updated, one loses it, one comes to say nothing any more.
      await db.write(async (set) => {
        const profile = (of: Record<string, string>) => running('', of).profile;
        await set.gateways.setProfile(tenant, gatewayId(ids[0]!), profile({ svm: '1.3.0' }));
        await set.gateways.setProfile(tenant, gatewayId(ids[1]!), profile({ other: '1.0.0' }));
        await set.gateways.setProfile(tenant, gatewayId(ids[2]!), EMPTY_PROFILE);
        await set.gateways.remove(tenant, gatewayId('x-jvm'));
      });
      assert.deepEqual(await versions(), [
        { version: '1.2.27', gateways: 798 },
        { version: '1.2.28', gateways: 399 },
        { version: '1.3.0', gateways: 1 },
      ]);
      assert.equal(await count('!app/svm'), 4);
    });

    it('lets no label and no attribute say what is installed', async () => {
      const tenant = db.newTenant();
      const said = { 'app/svm': '9.9.9', 'app/jvm': '1.0.0', 'apple/svm': 'yes' };
      const { profile } = running('', { svm: '1.0.0' });
      const posing = gateway('gw', { labels: said, profile: { ...profile, labels: said, attributes: said } });
      await db.write((set) => set.gateways.insert(tenant, posing));
      const check = async () => {
        const count = (text: string) => db.read.gateways.count(tenant, parseSelector(text));
        assert.deepEqual(
          [
            await count('app/svm=1.0.0'),
            await count('app/svm=9.9.9'),
            await count('app/jvm'),
            await count('apple/svm'),
          ],
          [1, 0, 0, 1],
        );
        assert.deepEqual(await db.read.gateways.installedVersions(tenant, 'svm'), [{ version: '1.0.0', gateways: 1 }]);
      };
      await check();
      await db.write((set) => set.gateways.setLabels(tenant, posing.id, { ...said, more: 'x' }));
      await check();
    });

    it('pages through 1,000 while others come and go: each that stays is seen once, in order', async () => {
      const tenant = db.newTenant();
      const ids = numbered(1000);
      await db.write(async (set) => {
        for (const id of ids) await set.gateways.insert(tenant, gateway(id, { labels: { site: 'vienna' } }));
      });
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let page = 0; ; page++) {
        const found = await db.read.gateways.list(tenant, {
          limit: 90,
          cursor,
          selector: parseSelector('site=vienna'),
        });
        seen.push(...found.items.map(({ id }) => id));
        cursor = found.next;
        if (cursor === undefined) break;
        const last = seen.at(-1) ?? '';
        // One before the cursor, one right behind it, one at the far end; and the last one seen goes.
        await db.write(async (set) => {
          await set.gateways.insert(tenant, gateway(`a-${page}`, { labels: { site: 'vienna' } }));
          await set.gateways.insert(tenant, gateway(`${last}-new`, { labels: { site: 'vienna' } }));
          await set.gateways.insert(tenant, gateway(`z-${page}`, { labels: { site: 'graz' } }));
          if (page % 2 === 0) await set.gateways.remove(tenant, gatewayId(last));
        });
      }
      assert.equal(new Set(seen).size, seen.length);
      assert.deepEqual(seen, seen.toSorted());
      const known = new Set(ids);
      assert.deepEqual(
        seen.filter((id) => known.has(id)),
        ids,
      );
      assert.equal(seen.filter((id) => id.endsWith('-new')).length, 11);
    });

    it('orders ids by their bytes, whatever the language of the server', async () => {
      const ids = ['B', 'Z', '_', 'a', 'a-b', 'aB', 'ab', 'z', 'ä', '日本'];
      const tenant = await withGateways(db, ids);
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await db.read.gateways.list(tenant, { limit: 3, cursor });
        seen.push(...page.items.map(({ id }) => id));
        cursor = page.next;
      } while (cursor !== undefined);
      assert.deepEqual(seen, ids);
    });

    it('refuses a cursor that it did not give', async () => {
      const tenant = db.newTenant();
      for (const cursor of ['nonsense', 'W10', Buffer.from('["gateways",7]').toString('base64url')]) {
        await assert.rejects(db.read.gateways.list(tenant, { limit: 10, cursor }), (error) =>
          isLeonoreError(error, 'request.invalid'),
        );
      }
    });
  });

  describe('enrolment tokens', () => {
    const db = useDatabase(open);

    it('of 50 at once on a single-use token one gets it', async () => {
      const tenant = db.newTenant();
      await db.write((set) => set.gateways.insertToken(tenant, token('once')));
      const redeemed = await Promise.all(
        Array.from({ length: 50 }, () => db.write((set) => set.gateways.redeemToken(tenant, sha('once'), 1500))),
      );
      assert.equal(redeemed.filter((record) => record !== undefined).length, 1);
      assert.equal((await db.read.gateways.listTokens(tenant))[0]?.usesLeft, 0);
    });

    it('gives as many uses as there are, each once', async () => {
      const tenant = db.newTenant();
      await db.write((set) => set.gateways.insertToken(tenant, token('seven', { usesLeft: 7 })));
      const redeemed = await Promise.all(
        Array.from({ length: 20 }, () => db.write((set) => set.gateways.redeemToken(tenant, sha('seven'), 1500))),
      );
      const left = redeemed.flatMap((record) => (record ? [record.usesLeft] : []));
      assert.deepEqual(new Set(left), new Set([0, 1, 2, 3, 4, 5, 6]));
      assert.equal(left.length, 7);
    });

    it('gives a use back when the work that took it fails', async () => {
      const tenant = db.newTenant();
      await db.write((set) => set.gateways.insertToken(tenant, token('back')));
      await assert.rejects(
        db.write(async (set) => {
          await set.gateways.redeemToken(tenant, sha('back'), 1500);
          throw new Error('the id is taken');
        }),
        /the id is taken/,
      );
      assert.ok(await db.write((set) => set.gateways.redeemToken(tenant, sha('back'), 1500)));
    });

    it('gives none that is unknown, expired or removed', async () => {
      const tenant = db.newTenant();
      await db.write((set) => set.gateways.insertToken(tenant, token('t', { usesLeft: 9 })));
      const redeem = (hash: string, now: number) => db.write((set) => set.gateways.redeemToken(tenant, sha(hash), now));
      assert.equal(await redeem('unknown', 1500), undefined);
      assert.equal(await redeem('t', 2000), undefined);
      assert.deepEqual(await redeem('t', 1999), token('t', { usesLeft: 8 }));
      assert.equal(await db.write((set) => set.gateways.removeToken(tenant, 't')), true);
      assert.equal(await db.write((set) => set.gateways.removeToken(tenant, 't')), false);
      assert.equal(await redeem('t', 1500), undefined);
    });
  });
}

function application(name: string, rollout: number, range = '*'): DesiredApplication {
  return { name: name as ArtifactName, range, rollout: rollout as RolloutId };
}

function running(id: string, versions: Readonly<Record<string, string>>): GatewayRecord {
  const installed = Object.entries(versions).map(([name, version]) => {
    return { name: name as ArtifactName, version, state: 'running', requested: true } as const;
  });
  return gateway(id, { profile: { ...EMPTY_PROFILE, installed } });
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `gw-${String(i).padStart(5, '0')}`);
}

async function withGateways(db: TestDatabase, ids: readonly string[]) {
  const tenant = db.newTenant();
  await db.write(async (set) => {
    for (const id of ids) await set.gateways.insert(tenant, gateway(id));
  });
  return tenant;
}

/** Of all gateways of the tenant, in order of id. */
async function column<K extends keyof GatewayRecord>(
  db: TestDatabase,
  tenant: ReturnType<TestDatabase['newTenant']>,
  key: K,
): Promise<GatewayRecord[K][]> {
  return (await db.read.gateways.list(tenant, { limit: 1000 })).items.map((record) => record[key]);
}
