/** Composing and reading packages, over real repositories and a real blob store. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { readPackageHeader } from '@leonore/app-package';
import { DEFAULT_TENANT, isLeonoreError, type Artifact } from '@leonore/protocol';
import fc from 'fast-check';
import type { Format } from './formats/mod.ts';
import { createArchiveFormats, createByteCache, createPackageBuilder, packageFormatsOf } from './mod.ts';
import { openStores, publish, requestFor, sha256Of } from './testing/builds.ts';

const SEGMENT_SIZE = 1000;

describe('the package builder', () => {
  let folder = '';
  let stores: Awaited<ReturnType<typeof openStores>>;
  let builds: readonly Artifact[];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leonore-builder-'));
    stores = await openStores(folder);
    builds = [await publish(stores, 'lib', '1.0.0'), await publish(stores, 'svm', '1.0.0')];
  });
  after(async () => {
    await stores[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function newBuilder({ maxItemBytes = 10_000, composed = () => {}, graceMs = 0, now = Date.now } = {}) {
    const formats: Format[] = createArchiveFormats().map((format) => ({
      ...format,
      compose(input) {
        composed();
        return format.compose(input);
      },
    }));
    const cache = createByteCache({ maxBytes: 10_000, maxItemBytes });
    return createPackageBuilder({ ...stores, cache, now, formats }, { graceMs });
  }
  const platformOf = (number: number) => ({ os: `os-${number}` });

  it('composes what it says: own bytes around segments, named by the header', async () => {
    const builder = newBuilder();
    for (const [format, encoding] of [
      ['tar.gz', 'gzip'],
      ['tar.zst', 'zstd'],
    ] as const) {
      const record = await builder.build(DEFAULT_TENANT, requestFor(builds, { formats: [format] }));
      const { summary, own } = record;
      assert.equal(summary.fileName, `${summary.id}.${format}`);
      assert.equal(summary.encoding, encoding);
      assert.deepEqual(
        record.parts.map(({ kind, length }) => `${kind} ${length}`),
        [
          `own ${summary.headerSize}`,
          `blob ${SEGMENT_SIZE}`,
          `blob ${SEGMENT_SIZE}`,
          `own ${own.length - summary.headerSize}`,
        ],
      );
      const header = own.subarray(0, summary.headerSize);
      assert.equal(sha256Of(header), summary.sha256);
      const place = { encoding, headerSize: summary.headerSize, headerSha256: summary.sha256 };
      assert.deepEqual(await readPackageHeader(Readable.from([header]), place), record.manifest);
      // What is read back is what was made.
      assert.deepEqual(await newBuilder().find(DEFAULT_TENANT, summary.id), record);
    }
  });

  it('composes once for all who ask at the same time, on one node or on two', async () => {
    let composed = 0;
    const request = requestFor(builds, { platform: platformOf(1) });
    const one = newBuilder({ composed: () => composed++ });
    const records = await Promise.all(Array.from({ length: 20 }, () => one.build(DEFAULT_TENANT, request)));
    assert.equal(composed, 1);
    assert.equal(new Set(records).size, 1);
    await one.build(DEFAULT_TENANT, request);
    assert.equal(composed, 1);

    await using other = await openStores(folder);
    const others = [stores, other].map((own, i) =>
      createPackageBuilder(
        {
          ...own,
          cache: createByteCache({ maxBytes: 0, maxItemBytes: 0 }),
          now: () => 1000 + i,
          formats: createArchiveFormats(),
        },
        { graceMs: 0 },
      ),
    );
    for (let number = 100; number < 120; number++) {
      const both = await Promise.all(
        others.map((builder) => builder.build(DEFAULT_TENANT, requestFor(builds, { platform: platformOf(number) }))),
      );
      assert.deepEqual(both[0], both[1], 'who comes second has what the first made');
    }
  });

  it('makes a package again that was collected, the same bytes', async () => {
    let time = 1000;
    const builder = newBuilder({ now: () => time });
    const request = requestFor(builds, { platform: platformOf(2) });
    const first = await builder.build(DEFAULT_TENANT, request);
    time = 2000;
    assert.ok((await builder.collect()).bytes >= first.own.length);
    await assert.rejects(builder.find(DEFAULT_TENANT, first.summary.id), (error) =>
      isLeonoreError(error, 'package.unknown'),
    );
    const again = await builder.build(DEFAULT_TENANT, request);
    assert.deepEqual(again, { ...first, summary: { ...first.summary, createdAt: 2000 } });
  });

  it('keeps a package for the time of grace after its last use', async () => {
    let time = 10_000;
    const builder = newBuilder({ now: () => time, graceMs: 2400 });
    const { summary } = await builder.build(DEFAULT_TENANT, requestFor(builds, { platform: platformOf(3) }));
    const use = () => stores.repositories.write((set) => builder.use(set, DEFAULT_TENANT, [summary.id, summary.id]));
    time += 2399;
    assert.equal(await use(), true);
    time += 2399;
    await builder.collect();
    assert.equal(await use(), true);
    time += 2400;
    await builder.collect();
    assert.equal(await use(), false);
  });

  it('reads any range, from its own bytes, from memory and from the disk', async () => {
    const record = await newBuilder().build(DEFAULT_TENANT, requestFor(builds, { platform: platformOf(4) }));
    const { size, headerSize } = record.summary;
    const segments = builds.map(({ manifest: { name, version } }) =>
      Buffer.alloc(SEGMENT_SIZE, `${name} ${version} any-any-any gzip`),
    );
    const whole = Buffer.concat([record.own.subarray(0, headerSize), ...segments, record.own.subarray(headerSize)]);
    assert.equal(whole.length, size);
    const hot = newBuilder();
    const cold = newBuilder({ maxItemBytes: 0 });
    await fc.assert(
      fc.asyncProperty(fc.nat(size), fc.nat(size), fc.constantFrom(hot, cold), async (one, other, builder) => {
        const range = { start: Math.min(one, other), end: Math.max(one, other) };
        const read = Buffer.concat(await Array.fromAsync(builder.read(record, range)));
        assert.ok(read.equals(whole.subarray(range.start, range.end)));
      }),
      { numRuns: 300 },
    );
    assert.ok(Buffer.concat(await Array.fromAsync(hot.read(record))).equals(whole));
    const hashes = await hot.hashes(DEFAULT_TENANT, record);
    assert.equal(hashes.sha256, sha256Of(whole));
    assert.deepEqual((await newBuilder().find(DEFAULT_TENANT, record.summary.id)).hashes, hashes);
  });

  it('notes which builds an update replaces', async () => {
    const [, svm] = builds;
    const next = await publish(stores, 'svm', '1.1.0');
    const { bases, manifest } = await newBuilder().build(DEFAULT_TENANT, requestFor([next], { from: svm }));
    assert.deepEqual(bases, [{ name: 'svm', contentSha256: svm?.contentSha256 }]);
    assert.equal(manifest.components[0]?.replaces, '1.0.0');
  });

  it('takes the first format that can carry everything, or says of each why it cannot', async () => {
    const builder = newBuilder();
    const gzipOnly = await publish(stores, 'old', '1.0.0', { encodings: ['gzip'] });
    const formatOf = async (parts: readonly Artifact[], ...formats: ('tar.gz' | 'tar.zst' | 'swu')[]) =>
      (await builder.build(DEFAULT_TENANT, requestFor(parts, { formats }))).summary.format;
    assert.equal(await formatOf(builds, 'tar.zst', 'tar.gz'), 'tar.zst');
    assert.equal(await formatOf([...builds, gzipOnly], 'swu', 'tar.zst', 'tar.gz'), 'tar.gz');
    const refused = (message: RegExp) => (error: unknown) => {
      assert.ok(isLeonoreError(error, 'package.format'));
      assert.match(error.message, message);
      return true;
    };
    await assert.rejects(
      formatOf([gzipOnly], 'swu', 'tar.zst'),
      refused(/swu: .*; tar\.zst: old 1\.0\.0 is published as gzip only$/),
    );
    await assert.rejects(formatOf(builds), refused(/name no format/));
  });
});

it('knows the formats of a gateway by its profile', () => {
  const profile = { encodings: ['zstd', 'gzip'], capabilities: {} } as never;
  const formatsOf = (origin: 'enrolled' | 'ddi', formats?: readonly string[]) =>
    packageFormatsOf({ origin, profile: { ...(profile as object), ...(formats ? { formats } : {}) } as never });
  assert.deepEqual(formatsOf('enrolled'), ['tar.zst', 'tar.gz']);
  assert.deepEqual(formatsOf('ddi'), ['tar.zst', 'tar.gz', 'image']);
  assert.deepEqual(formatsOf('ddi', ['swu']), ['swu']);
});
