/** What every driver's artifact and package repositories must do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { type OpenEmpty, useDatabase } from './database.ts';
import { artifact, file, packageRecord, sha } from './samples.ts';

export function artifactRepositoryConforms(open: OpenEmpty): void {
  describe('artifacts', () => {
    const db = useDatabase(open);

    it('tells a new build, the same build and a conflicting one apart', async () => {
      const tenant = db.newTenant();
      const first = artifact('svm', '1.0.0');
      const recompressed = {
        ...first,
        publishedAt: 5,
        segments: [{ ...first.segments[0]!, sha256: sha('other zlib') }],
      };
      const otherManifest = { ...first, manifest: { ...first.manifest, provides: { java: '21' } } };
      const publish = (one: typeof first) => db.write((set) => set.artifacts.insert(tenant, one, [file('a')]));
      assert.equal(await publish(first), 'created');
      assert.equal(await publish(recompressed), 'same');
      assert.equal(await publish(artifact('svm', '1.0.0', {}, 'other bytes')), 'conflict');
      assert.equal(await publish(otherManifest), 'conflict');
      assert.equal(await publish(artifact('svm', '1.0.0', { arch: 'arm64' })), 'created');
      assert.deepEqual((await db.read.artifacts.builds(tenant, 'svm', '1.0.0'))[0], first);
    });

    it('of 20 that publish different bytes as one build at once, one wins', async () => {
      const tenant = db.newTenant();
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          db.write((set) => set.artifacts.insert(tenant, artifact('svm', '1.0.0', {}, `bytes ${i}`), [])),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1);
      assert.equal(outcomes.filter((outcome) => outcome === 'conflict').length, 19);
      assert.equal((await db.read.artifacts.all(tenant)).length, 1);
      assert.equal(await db.read.artifacts.revision(tenant), 1);
    });

    it('gives files as they were inserted, and none for unknown content', async () => {
      const tenant = db.newTenant();
      const one = artifact('svm', '1.0.0');
      const files = [file('z'), file('a/b'), file('ä')];
      await db.write((set) => set.artifacts.insert(tenant, one, files));
      assert.deepEqual(await db.read.artifacts.files(tenant, one.contentSha256), files);
      assert.deepEqual(await db.read.artifacts.files(tenant, sha('nothing')), []);
    });

    it('orders builds by semantic version, newest first, and pages in that order', async () => {
      const tenant = db.newTenant();
      const versions = ['1.10.0', '1.9.0', '1.9.0-rc.10', '1.9.0-rc.9', '1.9.0-alpha', '0.0.1'];
      await db.write(async (set) => {
        for (const version of versions.toSorted()) await set.artifacts.insert(tenant, artifact('svm', version), []);
        for (const arch of ['x64', 'arm64'])
          await set.artifacts.insert(tenant, artifact('Jvm'.toLowerCase(), '1.0.0', { arch }), []);
      });
      const found = await db.read.artifacts.builds(tenant, 'svm');
      assert.deepEqual(
        found.map(({ manifest }) => manifest.version),
        versions,
      );
      const all = (await db.read.artifacts.all(tenant)).map(({ contentSha256 }) => contentSha256);
      const paged: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await db.read.artifacts.list(tenant, { limit: 3, cursor });
        assert.ok(page.items.length <= 3);
        paged.push(...page.items.map(({ contentSha256 }) => contentSha256));
        cursor = page.next;
      } while (cursor !== undefined);
      assert.equal(paged.length, 8);
      assert.deepEqual(paged, all);
      assert.equal((await db.read.artifacts.list(tenant, { limit: 100, name: 'jvm' })).items.length, 2);
    });

    it('withdraws every build of a version once, with time and reason', async () => {
      const tenant = db.newTenant();
      await db.write(async (set) => {
        for (const arch of ['x64', 'arm64']) await set.artifacts.insert(tenant, artifact('svm', '1.0.0', { arch }), []);
        await set.artifacts.insert(tenant, artifact('svm', '1.1.0'), []);
      });
      const withdraw = (reason: string) =>
        db.write((set) => set.artifacts.withdraw(tenant, 'svm', '1.0.0', 2000, reason));
      assert.equal(await withdraw('it \0 leaks'), 2);
      assert.equal(await withdraw('again'), 0);
      const builds = await db.read.artifacts.builds(tenant, 'svm');
      assert.deepEqual(
        builds.map(({ withdrawnAt, withdrawnReason }) => [withdrawnAt, withdrawnReason]),
        [
          [undefined, undefined],
          [2000, 'it \uFFFD leaks'],
          [2000, 'it \uFFFD leaks'],
        ],
      );
    });

    it('counts its revision up with each publication and withdrawal, and with nothing else', async () => {
      const tenant = db.newTenant();
      const revisions = [await db.read.artifacts.revision(tenant)];
      const after = async (change: () => Promise<unknown>) => {
        await change();
        revisions.push(await db.read.artifacts.revision(tenant));
      };
      const publish = () => db.write((set) => set.artifacts.insert(tenant, artifact('svm', '1.0.0'), []));
      const withdraw = () => db.write((set) => set.artifacts.withdraw(tenant, 'svm', '1.0.0', 1, 'x'));
      for (const change of [publish, publish, withdraw, withdraw]) await after(change);
      assert.deepEqual(revisions, [0, 1, 1, 2, 2]);
    });

    it('knows which blobs are segments', async () => {
      const one = artifact('segments', '1.0.0');
      assert.equal(await db.read.artifacts.usesSegment(one.segments[0]!.sha256), false);
      await db.write((set) => set.artifacts.insert(db.newTenant(), one, []));
      assert.equal(await db.read.artifacts.usesSegment(one.segments[0]!.sha256), true);
    });
  });

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
      const badVersion = Buffer.from(JSON.stringify(['artifacts', 'svm', 'latest', 'any'])).toString('base64url');
      await assert.rejects(db.read.artifacts.list(tenant, { limit: 1, cursor: badVersion }), (error) =>
        isLeonoreError(error, 'request.invalid'),
      );
    });
  });
}
