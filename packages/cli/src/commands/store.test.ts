import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { type Damage, packageDetailsSchema, type Sha256, storeStatusSchema } from '@leonore/protocol';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

const GIB = 2 ** 30;
const ID = `p-${'a'.repeat(32)}`;
const sha = (digit: string) => digit.repeat(64) as Sha256;
const damage = (digit: string): Damage => ({
  sha256: sha(digit),
  problem: 'missing',
  foundAt: 1_790_000_000_000,
  neededBy: ['svm 1.2.28 (linux-arm64-glibc), gzip'],
});

let node: FakeNode;
let home: CliHome;
before(async () => {
  node = await startFakeNode();
  home = await createCliHome({ LEONORE_URL: node.url, LEONORE_TOKEN: node.token });
  const summary = { id: ID, format: 'tar.gz', encoding: 'gzip', fileName: 'x', sha256: sha('0'), size: 120 };
  const manifest = {
    schemaVersion: 1,
    id: ID,
    encoding: 'gzip',
    gatewayClass: { id: 'c', platform: {} },
    components: [],
    keep: [],
    remove: [],
    payloadSize: 0,
  };
  const details = { ...summary, headerSize: 20, gatewayClass: 'c', components: [], createdAt: 1, manifest };
  node.packages.set(ID, { ...packageDetailsSchema.parse(details), bytes: Buffer.alloc(120) });
});
after(async () => {
  await home[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

describe('leonore store show', () => {
  it('draws how full it is, and says the state of an empty, a limited and a damaged store', async () => {
    const empty = await home.run(['store', 'show']);
    assert.equal(empty.code, 0, empty.stderr);
    assert.match(empty.stdout, /^segments +0$/m);
    assert.match(empty.stdout, /^store +0 B, without a limit$/m);
    assert.match(empty.stdout, /^damaged +none known$/m);
    node.store = storeStatusSchema.parse({
      segments: { count: 12, bytes: 14 * GIB },
      deltas: { count: 3, bytes: GIB },
      uploads: { count: 1, bytes: GIB },
      packages: { count: 40 },
      quota: { used: 16 * GIB, limit: 64 * GIB },
      disk: { total: 100 * GIB, free: GIB, keepFree: GIB / 2, state: 'low' },
      damages: [damage('1')],
    });
    const { stdout } = await home.run(['store', 'show']);
    assert.match(stdout, /^store +\[█{6}·{18}\] {2}25 % {2}16\.0 GiB of 64\.0 GiB$/m);
    assert.match(stdout, /^disk +\[█{24}\] {2}99 % {2}99\.0 GiB of 100 GiB$/m);
    assert.match(stdout, /^state +low: the disk is nearly full$/m);
    assert.match(stdout, /^missing +1{64} .*svm 1\.2\.28 \(linux-arm64-glibc\), gzip$/m);
    assert.deepEqual(JSON.parse((await home.run(['store', 'show', '-o', 'json'])).stdout), node.store);
    assert.equal((await home.run(['store', 'show', '-o', 'name'])).stdout, 'low\n');
  });
});

describe('leonore store verify', () => {
  it('goes through all slices, names each damage once and ends with 1', async () => {
    const slice = { ok: true, blobs: 5, bytes: 1000, damages: [] };
    node.verifications = [
      { ...slice, next: sha('2') },
      { ...slice, ok: false, damages: [damage('3')], next: sha('4') },
      slice,
    ];
    const found = await home.run(['store', 'verify']);
    assert.equal(found.code, 1);
    assert.match(found.stdout, /^1 damaged of 15 blobs, 2\.9 KiB read$/m);
    assert.match(found.stdout, /^missing +3{64} /m);
    const json = await home.run(['store', 'verify', '-o', 'json']);
    assert.deepEqual(
      [json.code, JSON.parse(json.stdout)],
      [1, { ok: false, blobs: 15, bytes: 3000, damages: [damage('3')] }],
    );
    assert.equal((await home.run(['store', 'verify', '-o', 'name'])).stdout, `${sha('3')}\n`);
  });

  it('of a sound store says so and ends with 0', async () => {
    node.verifications = [{ ok: true, blobs: 1, bytes: 10, damages: [] }];
    const found = await home.run(['store', 'verify']);
    assert.deepEqual([found.code, found.stdout], [0, 'all right: 1 blob, 10 B read, every digest is right\n']);
    assert.equal((await home.run(['store', 'verify', '-o', 'name'])).stdout, '');
  });
});

describe('leonore package verify', () => {
  it('looks at the packages that are named, or at all of the store', async () => {
    node.verifications = [{ ok: false, blobs: 2, bytes: 100, damages: [damage('5')] }];
    node.requests.length = 0;
    const named = await home.run(['package', 'verify', ID]);
    assert.equal(named.code, 1);
    assert.match(named.stdout, /^missing +5{64} /m);
    assert.ok(node.requests.includes(`POST /api/v1/packages/${ID}/verify`));
    assert.ok(!node.requests.includes('POST /api/v1/store/verify'));
    assert.equal((await home.run(['package', 'verify'])).code, 1);
    assert.ok(node.requests.includes('POST /api/v1/store/verify'));
    const unknown = await home.run(['package', 'verify', `p-${'b'.repeat(32)}`]);
    assert.equal(unknown.code, 3);
  });
});

describe('leonore store collect', () => {
  it('says what it freed, or that there was nothing', async () => {
    assert.match((await home.run(['store', 'collect'])).stdout, /^nothing to take away/);
    node.collection = { packages: 2, deltas: 0, segments: 1, bytes: 3 * 2 ** 20 };
    assert.equal((await home.run(['store', 'collect'])).stdout, 'took away 2 packages, 1 segment: 3.0 MiB freed\n');
    assert.equal((await home.run(['store', 'collect', '-o', 'name'])).stdout, '3145728\n');
  });
});

describe('leonore node', () => {
  it('refuses limits that are none', async () => {
    for (const [flag, value, words] of [
      ['--store-quota', 'much', /--store-quota: "much" is no amount of bytes/],
      ['--keep-free', '-1', /--keep-free: /],
      ['--max-artifact-files', '1.5', /--max-artifact-files: "1\.5" is no number of files/],
      ['--max-artifact-size', '1XB', /--max-artifact-size: "1XB" is no amount/],
    ] as const) {
      const found = await home.run(['node', `${flag}=${value}`]);
      assert.equal(found.code, 2, found.stderr);
      assert.match(found.stderr, words);
    }
    const byEnvironment = await home.run(['node'], { env: { LEONORE_STORE_QUOTA: 'x' } });
    assert.match(byEnvironment.stderr, /--store-quota: "x"/);
  });
});
