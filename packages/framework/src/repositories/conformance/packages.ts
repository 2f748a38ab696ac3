/** What every driver must keep of the package repository's promises: packages, and which of them may go. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError, type PackageId, type Tenant } from '@leonore/protocol';
import type { RepositorySet, UnneededPackage } from '../contract.ts';
import { type OpenEmpty, useDatabase } from './database.ts';
import { artifact, file, gateway, gatewayId, packageRecord, rollout, sha, task } from './samples.ts';

export function packageRepositoryConforms(open: OpenEmpty): void {
  describe('packages', () => {
    const db = useDatabase(open);

    it('keeps a package by id and by the digest of its header', async () => {
      const tenant = db.newTenant();
      const record = packageRecord('one');
      const insert = () => db.write((set) => set.packages.insert(tenant, record));
      assert.deepEqual([await insert(), await insert()], [true, false]);
      assert.deepEqual(await db.read.packages.find(tenant, record.summary.id), record);
      assert.deepEqual(await db.read.packages.findByDigest(record.summary.sha256), record);
      assert.equal(await db.read.packages.findByDigest(sha('nothing')), undefined);
      const hashes = { sha1: '1', md5: '2', sha256: '3' };
      await db.write((set) => set.packages.setHashes(tenant, record.summary.id, hashes));
      assert.deepEqual(await db.read.packages.find(tenant, record.summary.id), { ...record, hashes });
    });

    it('lists the newest first, also those of one millisecond, and pages through all of them', async () => {
      const tenant = db.newTenant();
      const records = Array.from({ length: 25 }, (_, i) => packageRecord(`many ${i}`, 1000 + Math.floor(i / 10)));
      await db.write(async (set) => {
        for (const record of records) await set.packages.insert(tenant, record);
      });
      const seen: { id: string; createdAt: number }[] = [];
      let cursor: string | undefined;
      do {
        const page = await db.read.packages.list(tenant, { limit: 7, cursor });
        seen.push(...page.items);
        cursor = page.next;
      } while (cursor !== undefined);
      assert.equal(new Set(seen.map(({ id }) => id)).size, 25);
      assert.deepEqual(
        seen.map(({ createdAt }) => createdAt),
        seen.map(({ createdAt }) => createdAt).toSorted((a, b) => b - a),
      );
    });

    it('refuses a cursor that it did not give', async () => {
      const tenant = db.newTenant();
      const foreign = Buffer.from(JSON.stringify(['gateways', 'gw'])).toString('base64url');
      const wrongKinds = Buffer.from(JSON.stringify(['packages', 'x', 1])).toString('base64url');
      for (const cursor of ['', '%%%', 'AAAA', foreign, wrongKinds]) {
        await assert.rejects(
          db.read.packages.list(tenant, { limit: 10, cursor }),
          (error) => isLeonoreError(error, 'request.invalid'),
          cursor,
        );
      }
    });

    it('gives components the files of their builds, and keeps them once', async () => {
      const tenant = db.newTenant();
      const build = artifact('svm', '1.0.0');
      const files = [file('binary/svm/a'), file('binary/svm/b')];
      const { manifest, ...record } = packageRecord('with files');
      const component = {
        name: build.manifest.name,
        version: '1.0.0',
        action: 'install' as const,
        requested: true,
        after: [],
        contentSha256: build.contentSha256,
        segment: { offset: 0, length: 10, sha256: sha('segment') },
        files,
        unpackedSize: 3,
      };
      const whole = { ...record, manifest: { ...manifest, components: [component] } };
      await db.write(async (set) => {
        await set.artifacts.insert(tenant, build, files);
        await set.packages.insert(tenant, whole);
      });
      assert.deepEqual(await db.read.packages.find(tenant, record.summary.id), whole);
    });

    it('keeps bytes of any value', async () => {
      const tenant = db.newTenant();
      const own = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
      const record = { ...packageRecord('bytes'), own };
      await db.write((set) => set.packages.insert(tenant, record));
      assert.deepEqual((await db.read.packages.find(tenant, record.summary.id))?.own, own);
    });
  });

  describe('packages that may go', () => {
    const db = useDatabase(open);
    const idOf = (seed: string) => packageRecord(seed).summary.id;

    async function insert(tenant: Tenant, ...seeds: string[]): Promise<void> {
      await db.write(async (set) => {
        for (const seed of seeds) await set.packages.insert(tenant, packageRecord(seed));
      });
    }
    /** Of this tenant, in the order of their seeds. */
    async function unneeded(tenant: Tenant, until: number, limit = 100): Promise<UnneededPackage[]> {
      const found: UnneededPackage[] = [];
      let after: Parameters<RepositorySet['packages']['unneeded']>[0]['after'];
      do {
        const page = await db.read.packages.unneeded({ until, after, limit });
        assert.ok(page.unneeded.length <= limit);
        found.push(...page.unneeded.filter((one) => one.tenant === tenant));
        after = page.next;
      } while (after);
      return found;
    }
    const seedsOf = (found: readonly { id: PackageId }[], seeds: readonly string[]) =>
      seeds.filter((seed) => found.some(({ id }) => id === idOf(seed)));

    it('are those that no active task and no last success of a gateway needs', async () => {
      const tenant = db.newTenant();
      const seeds = ['active', 'last', 'before', 'failed', 'former gateway', 'no task'];
      await insert(tenant, ...seeds);
      await db.write(async (set) => {
        await set.gateways.insert(tenant, gateway('gw'));
        await set.gateways.insert(tenant, gateway('gone'));
        const of = (seed: string, state: 'pending' | 'succeeded' | 'failed', on = 'gw') => ({
          state,
          gateway: gatewayId(on),
          package: idOf(seed),
          ...(state === 'pending' ? {} : { endedAt: 1000 }),
        });
        for (const more of [
          of('before', 'succeeded'),
          of('last', 'succeeded'),
          of('failed', 'failed'),
          { state: 'succeeded' as const, endedAt: 1000 },
          of('active', 'pending'),
          of('former gateway', 'succeeded', 'gone'),
        ])
          await set.rollouts.insertTasks(tenant, [task(await set.rollouts.insert(tenant, rollout()), 'gw', more)]);
        await set.gateways.remove(tenant, gatewayId('gone'));
      });
      const wanted = ['before', 'failed', 'former gateway', 'no task'];
      for (const limit of [1, 2, 100])
        assert.deepEqual(seedsOf(await unneeded(tenant, 1000, limit), seeds), wanted, `in pages of ${limit}`);
      assert.deepEqual(await unneeded(tenant, 999), []);
    });

    it('go, unless they were used since they were found', async () => {
      const tenant = db.newTenant();
      await insert(tenant, 'used', 'unused');
      const found = await unneeded(tenant, 5000);
      // At the same time as before: it counts all the same.
      const there = await db.write((set) => set.packages.use(tenant, [idOf('used'), idOf('never made')], 1000));
      assert.deepEqual([...there], [idOf('used')]);
      const removed = await db.write((set) => set.packages.remove(found));
      assert.deepEqual(removed, [{ tenant, id: idOf('unused'), bytes: 20 }]);
      assert.equal(await db.read.packages.find(tenant, idOf('unused')), undefined);
      assert.deepEqual(
        [await db.read.packages.has(tenant, idOf('used')), await db.read.packages.has(tenant, idOf('unused'))],
        [true, false],
      );
      assert.deepEqual(await db.write((set) => set.packages.remove(found)), []);
      await insert(tenant, 'unused');
      assert.ok(await db.read.packages.find(tenant, idOf('unused')));
    });

    it('stay as long after their use as was asked; a use that is fresh is not noted again', async () => {
      const tenant = db.newTenant();
      await insert(tenant, 'one');
      const use = (at: number, freshForMs: number) =>
        db.write((set) => set.packages.use(tenant, [idOf('one')], at, freshForMs));
      const usedAt = async () => (await unneeded(tenant, Number.MAX_SAFE_INTEGER))[0]?.usedAt;
      await use(2000, 0);
      assert.equal(await usedAt(), 2000);
      assert.deepEqual([...(await use(2099, 100))], [idOf('one')]);
      assert.equal(await usedAt(), 2000);
      await use(2100, 100);
      assert.equal(await usedAt(), 2100);
      await use(50, 0);
      assert.ok((await usedAt()) === 2101 || (await usedAt()) === 2100, 'a clock that is behind takes nothing back');
      assert.deepEqual(await unneeded(tenant, 2099), []);
    });

    it('or are used by many tasks at once, never both', async () => {
      const tenant = db.newTenant();
      const seeds = Array.from({ length: 12 }, (_, i) => `raced ${i}`);
      await insert(tenant, ...seeds);
      const found = await unneeded(tenant, 5000);
      assert.equal(found.length, seeds.length);
      const made = seeds.map((seed, i) =>
        db.write(async (set) => {
          const there = await set.packages.use(tenant, [idOf(seed)], 3000);
          if (there.size === 0) return undefined;
          const id = await set.rollouts.insert(tenant, rollout());
          await set.rollouts.insertTasks(tenant, [task(id, `gw-${i}`, { package: idOf(seed) })]);
          return idOf(seed);
        }),
      );
      const going = found.map((one) => db.write((set) => set.packages.remove([one])));
      const [tasks, removed] = await Promise.all([Promise.all(made), Promise.all(going)]);
      const gone = new Set(removed.flat().map(({ id }) => id));
      const used = tasks.filter((id) => id !== undefined);
      assert.equal(used.length + gone.size, seeds.length);
      for (const id of used) assert.ok(await db.read.packages.find(tenant, id));
    });
  });
}
