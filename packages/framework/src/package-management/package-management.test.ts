import assert from 'node:assert/strict';
import { open, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DEFAULT_TENANT, type Sha256 } from '@leonore/protocol';
import { openShelf, upload } from './testing/shelf.ts';

const tool = (version: string, content = version) => ({
  manifest: { name: 'tool', version, platform: { os: 'linux', arch: 'arm64', libc: 'glibc' } },
  binary: { 'tool.txt': content },
});

async function damage(file: string): Promise<void> {
  await using handle = await open(file, 'r+');
  await handle.write(Buffer.from([1, 2, 3]), 0, 3, 20);
}

describe('publishing', () => {
  it('the same build again brings back what was lost, whichever segments and however', async () => {
    await using shelf = await openShelf();
    const packed = await shelf.pack(tool('1.0.0'));
    assert.ok(packed.segments.length > 1);
    assert.equal((await shelf.publish(packed)).created, true);
    const files = packed.segments.map(({ sha256 }) => shelf.blobFile(sha256));
    for (const lose of [rm, damage, (file: string) => truncate(file, 5)]) {
      for (const file of files) await lose(file);
      assert.equal((await shelf.publish(packed)).created, false);
      for (const { sha256 } of packed.segments) {
        assert.deepEqual(Buffer.from(await shelf.blobs.bytes(sha256)), packed.bytes.get(sha256));
      }
      assert.deepEqual(await shelf.blobs.damages(), []);
    }
  });

  it('the same content packed otherwise does not heal, and says so; when nothing is lost it is welcome', async () => {
    await using shelf = await openShelf();
    const packed = await shelf.pack(tool('1.0.0'));
    const [first, second] = packed.segments;
    assert.ok(first && second);
    await shelf.publish({ ...packed, segments: [first] });
    const offer = { ...packed, segments: [second] };
    assert.equal((await shelf.publish(offer)).created, false);
    assert.equal(await shelf.blobs.size(second.sha256), undefined);
    await rm(shelf.blobFile(first.sha256));
    await assert.rejects(shelf.publish(offer), {
      code: 'artifact.segment-missing',
      message: new RegExp(
        `^tool 1.0.0 \\(linux-arm64-glibc\\) is published, but .* lost its ${first.encoding} segment`,
      ),
    });
    assert.equal(await shelf.blobs.size(second.sha256), undefined);
  });

  it('more than is allowed is refused with the limit, what it is, and how to change it; nothing is kept', async () => {
    await using shelf = await openShelf({ limits: { maxArtifactSize: 4000, maxArtifactFiles: 3 } });
    const { maxArtifactSize: limit } = { maxArtifactSize: 4000 };
    const tooLarge = (words: RegExp, used: number, of: number) => ({
      code: 'upload.too-large',
      status: 413,
      message: words,
      details: { used, limit: of },
    });
    const sha256 = '0'.repeat(64) as Sha256;
    await assert.rejects(
      shelf.packages.openUpload(sha256, limit + 1),
      tooLarge(
        /has 3\.9 KiB and the limit is 3\.9 KiB \(LEONORE_MAX_ARTIFACT_SIZE or leonore node --max-artifact/,
        4001,
        4000,
      ),
    );
    await assert.rejects(
      shelf.publish(await shelf.pack(tool('1.0.0', 'x'.repeat(5000)))),
      tooLarge(
        /^tool 1\.0\.0 .* has 4\.9 KiB unpacked and the limit is 3\.9 KiB \(LEONORE_MAX_ARTIFACT_SIZE/,
        5000,
        4000,
      ),
    );
    const binary = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, name]));
    await assert.rejects(
      shelf.publish(await shelf.pack({ ...tool('1.0.0'), binary })),
      tooLarge(
        /has 4 files and the limit is 3 \(LEONORE_MAX_ARTIFACT_FILES or leonore node --max-artifact-files/,
        4,
        3,
      ),
    );
    assert.deepEqual(await Array.fromAsync(shelf.blobs.list()), []);
    await shelf.publish(await shelf.pack(tool('1.0.0')));
  });

  it('beyond the quota is refused; what was published stays', async () => {
    await using shelf = await openShelf({ blobs: { quota: 2500 } });
    const packed = await shelf.pack(tool('1.0.0'));
    await shelf.publish(packed);
    const large = await shelf.pack(tool('2.0.0', Array.from({ length: 3000 }, (_, at) => `${at}`).join()));
    await assert.rejects(shelf.publish(large), { code: 'storage.quota', status: 507 });
    const { uploads, quota } = await shelf.store.status();
    assert.deepEqual([uploads.count, quota.limit], [0, 2500]);
    assert.equal((await shelf.publish(packed)).created, false);
  });
});

describe('verifying', () => {
  it('names what is damaged, what is missing, and what needs it', async () => {
    await using shelf = await openShelf();
    const [one, two] = [await shelf.pack(tool('1.0.0')), await shelf.pack(tool('2.0.0'))];
    await shelf.publish(one);
    await shelf.publish(two);
    const all = await shelf.store.verify({ after: undefined });
    const bytes = [...one.segments, ...two.segments].reduce((sum, { size }) => sum + size, 0);
    assert.deepEqual(all, { ok: true, blobs: 4, bytes, damages: [] });

    const [rotten, lost] = [one.segments[0]!, two.segments[1]!];
    await damage(shelf.blobFile(rotten.sha256));
    await rm(shelf.blobFile(lost.sha256));
    shelf.clock.now += 5;
    const expected = [
      {
        sha256: rotten.sha256,
        problem: 'damaged',
        foundAt: shelf.clock.now,
        neededBy: [`tool 1.0.0 (linux-arm64-glibc), ${rotten.encoding}`],
      },
      {
        sha256: lost.sha256,
        problem: 'missing',
        foundAt: shelf.clock.now,
        neededBy: [`tool 2.0.0 (linux-arm64-glibc), ${lost.encoding}`],
      },
    ].toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
    const found = await shelf.store.verify({ after: undefined });
    assert.deepEqual([found.ok, found.blobs, found.damages], [false, 4, expected]);
    // What was set aside is missing now, and is told of as what it is.
    assert.deepEqual((await shelf.store.verify({ after: undefined })).damages, expected);
    assert.deepEqual((await shelf.store.verify({ blobs: [rotten.sha256, rotten.sha256] })).damages.length, 1);
    const { damages } = await shelf.store.status();
    assert.deepEqual(
      damages.toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
      expected,
    );
  });

  it('a large store answers in slices that together are all of it', async () => {
    await using shelf = await openShelf({
      // Each blob takes a second to read.
      between: (blobs) => ({
        ...blobs,
        verify: (sha256) => {
          shelf.clock.now += 1000;
          return blobs.verify(sha256);
        },
      }),
    });
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) await shelf.publish(await shelf.pack(tool(version)));
    const counts: number[] = [];
    let after: Sha256 | undefined;
    do {
      const slice = await shelf.store.verify({ after });
      counts.push(slice.blobs);
      after = slice.next;
    } while (after !== undefined);
    assert.deepEqual(counts, [2, 2, 2]);
  });

  it('several callers read one after another', async () => {
    let [atWork, most] = [0, 0];
    await using shelf = await openShelf({
      between: (blobs) => ({
        ...blobs,
        async verify(sha256) {
          most = Math.max(most, ++atWork);
          try {
            return await blobs.verify(sha256);
          } finally {
            atWork--;
          }
        },
      }),
    });
    await shelf.publish(await shelf.pack(tool('1.0.0')));
    const found = await Promise.all(Array.from({ length: 5 }, () => shelf.store.verify({ after: undefined })));
    assert.deepEqual([most, ...found.map(({ blobs }) => blobs)], [1, 2, 2, 2, 2, 2]);
  });
});

describe('collecting', () => {
  it('takes what was uploaded and never published when it is old, and damaged blobs that nobody needs', async () => {
    await using shelf = await openShelf();
    const [kept, orphan] = [await shelf.pack(tool('1.0.0')), await shelf.pack(tool('2.0.0'))];
    await shelf.publish(kept);
    const from = shelf.clock.now;
    shelf.clock.now += 1000;
    await upload(orphan, shelf.packages);
    const [rotten, sound] = orphan.segments;
    assert.ok(rotten && sound);
    await damage(shelf.blobFile(rotten.sha256));
    await shelf.store.verify({ after: undefined });
    assert.deepEqual(await shelf.packages.collect(from + 1000), { blobs: 0, bytes: 0 });
    assert.deepEqual(await shelf.packages.collect(from + 1001), { blobs: 1, bytes: sound.size });
    assert.deepEqual(await readdir(join(shelf.dir, 'blobs', 'damaged')), []);
    const left = (await Array.fromAsync(shelf.blobs.list())).map(({ sha256 }) => sha256).toSorted();
    assert.deepEqual(left, kept.segments.map(({ sha256 }) => sha256).toSorted());
    // What a published build needs stays to be looked at until it is healed.
    await damage(shelf.blobFile(kept.segments[0]!.sha256));
    await shelf.store.verify({ after: undefined });
    await shelf.packages.collect(Infinity);
    assert.equal((await shelf.store.status()).damages.length, 1);
  });

  it('spares what a package of a former version consists of', async () => {
    await using shelf = await openShelf();
    const header = await shelf.blobs.put(Buffer.from('a header'));
    const trailer = await shelf.blobs.put(Buffer.from('a trailer'));
    const { repositories, packages } = shelf;
    const manifest = {
      schemaVersion: 1 as const,
      id: `p-${'0'.repeat(32)}`,
      encoding: 'gzip' as const,
      gatewayClass: { id: 'c', platform: {} },
      components: [],
      keep: [],
      remove: [],
      payloadSize: 0,
    } as never;
    const summary = {
      id: `p-${'0'.repeat(32)}`,
      format: 'tar.gz',
      encoding: 'gzip',
      fileName: 'x',
      sha256: header,
      size: 17,
      headerSize: 8,
      gatewayClass: 'c',
      components: [],
      createdAt: 1,
    } as never;
    const parts = [{ kind: 'blob' as const, sha256: header, length: 8 }];
    const record = { summary, manifest, parts, own: Buffer.alloc(0), bases: [] };
    await repositories.write((tx) => tx.packages.insert(DEFAULT_TENANT, record));
    assert.equal((await packages.collect(Infinity)).blobs, 1);
    assert.deepEqual([await shelf.blobs.size(header), await shelf.blobs.size(trailer)], [8, undefined]);
    assert.equal((await shelf.store.status()).packages.count, 1);
  });
});

describe('an image', () => {
  const files = (name: string, content = 'firmware') => ({
    manifest: { name, version: '4.2.0', kind: 'image' },
    image: { 'press-4.2.swu': content },
  });

  it('is published as the file that it is', async () => {
    await using shelf = await openShelf();
    const packed = await shelf.pack(files('press-os'));
    const { artifact } = await shelf.publish(packed);
    const [segment] = packed.segments;
    assert.deepEqual(artifact.segments, [segment]);
    assert.deepEqual([artifact.contentSha256, artifact.unpackedSize, artifact.fileCount], [segment?.sha256, 8, 1]);
    assert.equal((await shelf.publish(packed)).created, false);
    await assert.rejects(
      shelf.publish(await shelf.pack(files('press-os', 'other'))),
      /already published with other content/,
    );
    assert.equal((await shelf.publish(await shelf.pack(files('press-os-2')))).created, true);
  });

  it('is nothing that is packed, and nothing else is raw', async () => {
    await using shelf = await openShelf();
    const image = await shelf.pack(files('press-os'));
    const application = await shelf.pack(tool('1.0.0'));
    const publish = (packed: typeof image, manifest = packed.manifest) => shelf.publish({ ...packed, manifest });
    await assert.rejects(
      publish(image, application.manifest),
      /tool 1\.0\.0 .* is published as a raw file, which only an image is/,
    );
    await assert.rejects(
      publish(application, image.manifest),
      /press-os 4\.2\.0 is an image, which is published as one raw segment/,
    );
    const { file: _, ...unnamed } = { part: 'os', ...image.manifest.image };
    await assert.rejects(publish(image, { ...image.manifest, image: unnamed }), /does not say what its file is called/);
  });
});
