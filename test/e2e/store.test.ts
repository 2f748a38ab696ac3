/** The store of a real node: what rotted or is gone is never served, is named, and is healed by publishing again. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { PackageDetails, Sha256 } from '@leonore/protocol';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { library } from './applications.ts';

const MIB = 2 ** 20;
let site: Site;
const app = {
  ...library('svm', '1.2.28', { platform: { os: 'linux' } }),
  binary: { 'svm.bin': randomBytes(30 * MIB), 'version.txt': '1.2.28\n' },
};
before(async () => {
  site = await startSite({ nodeArgs: ['--store-quota', '120MiB', '--max-artifact-files', '5'] });
  await site.publish(app);
});
after(() => site[Symbol.asyncDispose]());

const blobFile = (sha256: Sha256) => join(site.dir, 'node', 'blobs', sha256.slice(0, 2), sha256);

async function flip(sha256: Sha256, at: number): Promise<void> {
  await using handle = await open(blobFile(sha256), 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
  buffer[0]! ^= 1;
  await handle.write(buffer, 0, 1, at);
}

async function theOnlyPackage(): Promise<PackageDetails> {
  const [one] = (await site.client.packages.list()).items;
  assert.ok(one);
  return site.client.packages.get(one.id);
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${site.node.httpUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

describe('a package whose segment', () => {
  before(async () => {
    await site.agent('gw-1');
    await site.provision({ applications: [{ name: 'svm' }], selector: '*' });
  });

  for (const [what, lose] of [
    ['rotted', (sha256: Sha256) => flip(sha256, 20 * MIB)],
    ['was deleted', (sha256: Sha256) => rm(blobFile(sha256))],
  ] as const) {
    it(`${what} is not sent: the answer names what is lost and what to do, until the same build is published again`, async () => {
      const found = await theOnlyPackage();
      const [component] = found.manifest.components;
      assert.ok(component);
      await site.restartNode('SIGTERM');
      await lose(component.segment.sha256);
      const answer = await fetch(`${site.node.httpUrl}/packages/${found.sha256}`, {
        headers: { authorization: `Bearer ${site.node.adminToken}` },
      });
      assert.equal(answer.status, 500);
      const problem = (await answer.json()) as { code: string; detail: string };
      assert.equal(problem.code, 'storage.corrupt');
      assert.match(problem.detail, /svm 1\.2\.28 \(linux-.*publish the same build of svm again/);

      const verified = await site.client.packages.verify(found.id);
      assert.equal(verified.ok, false);
      const [damage] = verified.damages;
      assert.equal(damage?.problem, what === 'rotted' ? 'damaged' : 'missing');
      assert.match(damage?.neededBy.join() ?? '', /^svm 1\.2\.28 \(linux-any-any\), (zstd|gzip)$/);
      assert.deepEqual(
        (await site.client.store.status()).damages.map(({ sha256 }) => sha256),
        [component.segment.sha256],
      );
      assert.equal(await metric('leonore_store_damaged'), 1);

      await site.publish(app);
      assert.equal((await site.client.packages.verify(found.id)).ok, true);
      assert.equal(await metric('leonore_store_damaged'), 0);
      const bytes = await (await site.client.packages.download(found.sha256)).arrayBuffer();
      assert.equal(bytes.byteLength, found.size);
    });
  }

  it('rots while it is sent is cut off, and no wrong byte comes', async () => {
    const found = await theOnlyPackage();
    const { sha256, length, offset } = found.manifest.components[0]!.segment;
    await site.restartNode('SIGTERM');
    const whole = Buffer.from(await (await site.client.packages.download(found.sha256)).arrayBuffer());
    const at = length - 1000;
    await flip(sha256, at);
    const answer = await site.client.packages.download(found.sha256);
    assert.equal(answer.status, 200);
    const parts: Uint8Array[] = [];
    await assert.rejects(async () => {
      for await (const some of answer.body ?? []) parts.push(some);
    });
    const got = Buffer.concat(parts);
    assert.ok(got.length <= found.headerSize + offset + at);
    assert.ok(got.equals(whole.subarray(0, got.length)));
    assert.equal((await site.client.store.verify()).ok, false);
    await site.publish(app);
    assert.equal((await site.client.store.verify()).ok, true);
  });
});

describe('the store', () => {
  it('shows what it holds and refuses what passes its limits, in words', async () => {
    const before = await site.client.store.status();
    assert.deepEqual([before.packages.count, before.segments.count, before.damages], [1, 2, []]);
    assert.equal(before.quota.limit, 120 * MIB);
    assert.equal(before.quota.used, before.segments.bytes);
    assert.equal(await metric('leonore_store_used_bytes'), before.quota.used);
    assert.ok(before.disk.free > 0 && before.disk.keepFree === 500 * MIB);
    const large = { ...library('large', '1.0.0'), binary: { large: randomBytes(61 * MIB) } };
    await assert.rejects(site.publish(large), {
      code: 'storage.quota',
      message: /may hold 120 MiB .*LEONORE_STORE_QUOTA.* 60\.\d MiB are used/,
    });
    const many = { ...library('many', '1.0.0'), binary: { a: 'a', b: 'b', c: 'c', d: 'd', e: 'e', f: 'f' } };
    await assert.rejects(site.publish(many), {
      code: 'upload.too-large',
      message: /limit is 5 .*--max-artifact-files/,
    });
    assert.deepEqual((await site.client.store.status()).segments, before.segments);
  });

  it('has no orphan after the node was killed in uploads and the grace time is over', async () => {
    const bytes = randomBytes(2000);
    const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
    const source = {
      size: bytes.length,
      read: async (at: number, size: number) => new Uint8Array(bytes.subarray(at, at + size)),
    };
    await site.client.upload(source, sha256);
    await site.client.uploads.open('1'.repeat(64) as Sha256, 10);
    await site.restartNode('SIGKILL');
    assert.deepEqual((await site.client.store.status()).uploads, { count: 1, bytes: 10 });
    // Younger than a day: somebody may be about to publish it.
    assert.equal((await site.client.store.collect()).segments, 0);
    const old = new Date(Date.now() - 25 * 3_600_000);
    await utimes(blobFile(sha256), old, old);
    const uploads = join(site.dir, 'node', 'blobs', 'uploads');
    for (const name of await readdir(uploads)) await utimes(join(uploads, name), old, old);
    await site.restartNode('SIGKILL');
    await waitFor('housekeeping', async () => (await site.client.store.status()).segments.count === 2);
    await waitFor('the upload to go', async () => (await readdir(uploads)).length === 0);
  });
});
