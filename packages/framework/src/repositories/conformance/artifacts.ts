/** What every driver's artifact and package repositories must do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError, type Sha256 } from '@leonore/protocol';
import { type OpenEmpty, useDatabase } from './database.ts';
import { artifact, file, sha } from './samples.ts';

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

    it('reads all of many builds, each once and in order, however the pages fall', async () => {
      const tenant = db.newTenant();
      const labels = Array.from({ length: 450 }, (_, i) => [`c${i % 7}`, `1.${Math.floor(i / 7)}.0`] as const);
      await db.write(async (set) => {
        for (const [name, version] of labels) await set.artifacts.insert(tenant, artifact(name, version), []);
        await set.artifacts.insert(tenant, artifact('c3', '1.9.0', { arch: 'x64' }), []);
      });
      const all = (await db.read.artifacts.all(tenant)).map(({ contentSha256 }) => contentSha256);
      assert.equal(all.length, 451);
      const listed = await db.read.artifacts.list(tenant, { limit: 1000 });
      assert.deepEqual(
        all,
        listed.items.map(({ contentSha256 }) => contentSha256),
      );
      assert.deepEqual(await db.read.artifacts.all(db.newTenant()), []);
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

    it('knows which blobs are segments, and of which builds', async () => {
      const { artifacts } = db.read;
      const [one, other] = [artifact('segments', '1.0.0'), artifact('segments', '2.0.0')];
      const [shared, alone] = [one.segments[0]!, other.segments[0]!];
      assert.deepEqual(await artifacts.segmentUsers([shared.sha256]), []);
      assert.deepEqual(await artifacts.segmentUsers([]), []);
      const tenant = db.newTenant();
      await db.write((set) => set.artifacts.insert(tenant, one, []));
      await db.write((set) => set.artifacts.insert(tenant, { ...other, segments: [shared, alone] }, []));
      const users = await artifacts.segmentUsers([shared.sha256, alone.sha256]);
      assert.deepEqual(
        users.map((user) => `${user.artifact.manifest.version} ${user.segment.sha256}`).toSorted(),
        [`1.0.0 ${shared.sha256}`, `2.0.0 ${alone.sha256}`, `2.0.0 ${shared.sha256}`].toSorted(),
      );
      const found: Sha256[] = [];
      for (let page: readonly Sha256[] = []; ; found.push(...page)) {
        page = await artifacts.segmentDigests(found.at(-1), 2);
        if (page.length === 0) break;
      }
      assert.deepEqual(found, [...new Set(found)].toSorted());
      for (const { sha256 } of [shared, alone]) assert.ok(found.includes(sha256));
    });

    it('refuses a cursor whose version is none', async () => {
      const tenant = db.newTenant();
      const badVersion = Buffer.from(JSON.stringify(['artifacts', 'svm', 'latest', 'any'])).toString('base64url');
      await assert.rejects(db.read.artifacts.list(tenant, { limit: 1, cursor: badVersion }), (error) =>
        isLeonoreError(error, 'request.invalid'),
      );
    });
  });
}
