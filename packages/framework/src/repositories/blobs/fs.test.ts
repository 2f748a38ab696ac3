import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, readdir, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Sha256 } from '@leonore/protocol';
import fc from 'fast-check';
import type { BlobStore } from '../contract.ts';
import { openFileBlobs } from '../mod.ts';
import { collect, digest, pieces, temporaryFolder } from './testing/blobs.ts';

/** The first bytes, then the line is cut. */
async function* cutAfter(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  yield* pieces(bytes.subarray(0, length));
  throw new Error('the line was cut');
}

async function listed(blobs: BlobStore): Promise<Map<Sha256, number>> {
  return new Map((await Array.fromAsync(blobs.list())).map(({ sha256, size }) => [sha256, size]));
}

/** Nothing but blobs is left. */
async function leftovers(dir: string): Promise<string[]> {
  return [...(await readdir(join(dir, 'tmp'))), ...(await readdir(join(dir, 'uploads')))];
}

describe('blobs', () => {
  it('are found under their digest, whole and in any range', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const bytes = randomBytes(700_000);
    const sha256 = await blobs.put(bytes);
    assert.equal(sha256, digest(bytes));
    assert.equal(await blobs.put(bytes), sha256);
    assert.equal(await blobs.size(sha256), bytes.length);
    assert.deepEqual(await blobs.bytes(sha256), bytes);
    assert.deepEqual(await collect(blobs.read(sha256)), bytes);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.nat(bytes.length), async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        assert.ok((await collect(blobs.read(sha256, { start, end }))).equals(bytes.subarray(start, end)));
      }),
      { numRuns: 30 },
    );
    assert.deepEqual(await listed(blobs), new Map([[sha256, bytes.length]]));
    assert.deepEqual(await leftovers(dir), []);
  });

  it('may be empty', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    const sha256 = await blobs.put(new Uint8Array());
    assert.equal((await blobs.bytes(sha256)).length, 0);
    assert.equal((await collect(blobs.read(sha256))).length, 0);
  });

  it('are removed once, and only those that nobody touched lately', async (t) => {
    let at = 1000;
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t), now: () => at });
    const bytes = randomBytes(10);
    const sha256 = await blobs.put(bytes);
    at = 5000;
    const other = randomBytes(20);
    await blobs.openUpload(digest(other), other.length);
    await blobs.appendUpload(digest(other), 0, pieces(other));
    assert.deepEqual([await blobs.remove(sha256, 1000), await blobs.remove(digest(other), 5000)], [false, false]);
    assert.equal((await blobs.openUpload(sha256, bytes.length)).complete, true);
    assert.equal(await blobs.remove(sha256, 5000), false);
    at = 6000;
    assert.deepEqual([await blobs.put(bytes), await blobs.remove(sha256, 6000)], [sha256, false]);
    assert.deepEqual([await blobs.touch(digest(other)), await blobs.touch(digest(bytes.subarray(1)))], [true, false]);
    assert.equal(await blobs.remove(digest(other), 6000), false);
    const ages = (await Array.fromAsync(blobs.list())).map(({ touchedAt }) => touchedAt);
    assert.deepEqual(ages, [6000, 6000]);
    assert.deepEqual([await blobs.remove(sha256, 6001), await blobs.remove(sha256)], [true, false]);
  });

  it('that are put by many at once are one', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const bytes = randomBytes(100_000);
    await Promise.all(Array.from({ length: 10 }, () => blobs.put(bytes)));
    assert.deepEqual(await blobs.bytes(digest(bytes)), bytes);
    assert.deepEqual(await leftovers(dir), []);
  });

  it('that are gone or cut short are told as corrupt', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const sha256 = await blobs.put(randomBytes(5000));
    await truncate(join(dir, sha256.slice(0, 2), sha256), 4000);
    await assert.rejects(collect(blobs.read(sha256, { start: 0, end: 5000 })), { code: 'storage.corrupt' });
    assert.equal(await blobs.size(sha256), undefined);
    await assert.rejects(collect(blobs.read(sha256)), { code: 'storage.corrupt' });
    await assert.rejects(blobs.bytes(sha256), { code: 'storage.corrupt' });
  });

  it('lose the temporary files that somebody left behind, at the next opening', async (t) => {
    const dir = await temporaryFolder(t);
    await openFileBlobs({ dir });
    await writeFile(join(dir, 'tmp', 'old'), 'x');
    await writeFile(join(dir, 'tmp', 'young'), 'x');
    await utimes(join(dir, 'tmp', 'old'), 1, 1);
    await openFileBlobs({ dir });
    assert.deepEqual(await readdir(join(dir, 'tmp')), ['young']);
  });
});

describe('uploads', () => {
  const bytes = randomBytes(50_000);
  const sha256 = digest(bytes);
  const none = { code: 'upload.unknown' };

  it('become a blob with their last byte', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    assert.equal(await blobs.uploadStatus(sha256), undefined);
    await assert.rejects(blobs.appendUpload(sha256, 0, pieces(bytes)), none);
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: 0, complete: false });
    assert.deepEqual(await blobs.appendUpload(sha256, 0, pieces(bytes.subarray(0, 20_000))), {
      offset: 20_000,
      complete: false,
    });
    assert.equal(await blobs.size(sha256), undefined);
    assert.deepEqual(await blobs.uploadStatus(sha256), { size: bytes.length, offset: 20_000, complete: false });
    const end = { offset: bytes.length, complete: true };
    assert.deepEqual(await blobs.appendUpload(sha256, 20_000, pieces(bytes.subarray(20_000))), end);
    assert.deepEqual(await blobs.bytes(sha256), bytes);
    assert.deepEqual(await leftovers(dir), []);
    // Whoever asks again, or sends again since the answer was lost, hears that it is there.
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), end);
    assert.deepEqual(await blobs.uploadStatus(sha256), { size: bytes.length, ...end });
    assert.deepEqual(await blobs.appendUpload(sha256, 20_000, pieces(bytes.subarray(20_000))), end);
  });

  it('go on where they were cut, however often', async (t) => {
    const dir = await temporaryFolder(t);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 5000 }),
        fc.array(fc.nat(5000)),
        async (whole, cuts) => {
          const name = digest(whole);
          let offset = (await (await openFileBlobs({ dir })).openUpload(name, whole.length)).offset;
          for (const cut of cuts.filter((at) => at < whole.length).toSorted((a, b) => a - b)) {
            // Another process each time: only the disk knows.
            const blobs = await openFileBlobs({ dir });
            if (offset === whole.length) break;
            await assert.rejects(
              blobs.appendUpload(name, offset, cutAfter(whole.subarray(offset), cut - offset)),
              /line was cut/,
            );
            offset = (await blobs.uploadStatus(name))?.offset ?? -1;
            assert.equal(offset, cut);
          }
          const blobs = await openFileBlobs({ dir });
          assert.deepEqual(await blobs.openUpload(name, whole.length), { offset, complete: offset === whole.length });
          if (offset < whole.length) await blobs.appendUpload(name, offset, pieces(whole.subarray(offset)));
          assert.deepEqual(new Uint8Array(await blobs.bytes(name)), whole);
          await blobs.remove(name);
        },
      ),
      { numRuns: 25 },
    );
    assert.deepEqual(await leftovers(dir), []);
  });

  it('of wrong bytes are thrown away and can be begun again', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const wrong = Buffer.from(bytes);
    wrong[30_000]! ^= 1;
    await blobs.openUpload(sha256, bytes.length);
    await assert.rejects(blobs.appendUpload(sha256, 0, pieces(wrong)), { code: 'upload.digest' });
    assert.equal(await blobs.uploadStatus(sha256), undefined);
    assert.deepEqual(await listed(blobs), new Map());
    assert.deepEqual(await leftovers(dir), []);
    await blobs.openUpload(sha256, bytes.length);
    await blobs.appendUpload(sha256, 0, pieces(bytes));
    assert.equal(await blobs.size(sha256), bytes.length);
  });

  it('say where to go on when the offset is another', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    await blobs.openUpload(sha256, bytes.length);
    await blobs.appendUpload(sha256, 0, pieces(bytes.subarray(0, 10_000)));
    for (const offset of [0, 9999, 10_001, bytes.length]) {
      await assert.rejects(blobs.appendUpload(sha256, offset, pieces(bytes)), {
        code: 'upload.offset',
        details: { offset: 10_000 },
      });
    }
    assert.equal((await blobs.uploadStatus(sha256))?.offset, 10_000);
  });

  it('take one sender at a time', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    await blobs.openUpload(sha256, bytes.length);
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    async function* slow() {
      yield bytes.subarray(0, 10_000);
      begun.resolve();
      await goOn.promise;
      yield bytes.subarray(10_000);
    }
    const first = blobs.appendUpload(sha256, 0, slow());
    await begun.promise;
    for (const second of [
      blobs.appendUpload(sha256, 0, pieces(bytes)),
      blobs.appendUpload(sha256, 10_000, pieces(bytes)),
    ]) {
      await assert.rejects(second, { code: 'upload.offset', retryable: true });
    }
    await assert.rejects(blobs.openUpload(sha256, 7), { code: 'upload.offset' });
    assert.equal(await blobs.tidy(Infinity), 0);
    goOn.resolve();
    assert.equal((await first).complete, true);
    assert.deepEqual(await blobs.bytes(sha256), bytes);
  });

  it('take no more than was announced', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    await blobs.openUpload(sha256, bytes.length);
    const more = Buffer.concat([bytes, randomBytes(1)]);
    await assert.rejects(blobs.appendUpload(sha256, 0, pieces(more, 1024)), { code: 'upload.too-large' });
    const status = await blobs.uploadStatus(sha256);
    assert.ok(status && status.offset <= bytes.length && !status.complete);
    await blobs.appendUpload(sha256, status.offset, pieces(bytes.subarray(status.offset)));
    assert.equal(await blobs.size(sha256), bytes.length);
  });

  it('begin anew when another size is announced', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    await blobs.openUpload(sha256, 99_999);
    await blobs.appendUpload(sha256, 0, pieces(randomBytes(60_000)));
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: 0, complete: false });
    await blobs.appendUpload(sha256, 0, pieces(bytes));
    assert.equal(await blobs.size(sha256), bytes.length);
  });

  it('that a crash left whole, torn or without their size trust the bytes on disk alone', async (t) => {
    const dir = await temporaryFolder(t);
    const part = join(dir, 'uploads', `${sha256}.part`);
    await using blobs = await openFileBlobs({ dir });

    // All bytes came, nobody looked at them yet.
    await blobs.openUpload(sha256, bytes.length);
    await writeFile(part, bytes);
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: bytes.length, complete: true });
    await blobs.remove(sha256);

    // Written beyond the end, or with wrong bytes of the right length: never a blob.
    await blobs.openUpload(sha256, bytes.length);
    await writeFile(part, Buffer.alloc(bytes.length));
    await assert.rejects(blobs.openUpload(sha256, bytes.length), { code: 'upload.digest' });
    assert.equal(await blobs.size(sha256), undefined);
    await blobs.openUpload(sha256, bytes.length);
    await appendFile(part, Buffer.concat([bytes, Buffer.alloc(10)]));
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: bytes.length, complete: true });
    assert.deepEqual(await blobs.bytes(sha256), bytes);
    await blobs.remove(sha256);

    // The announcement is unreadable: there is no such upload, and it can be begun again.
    await blobs.openUpload(sha256, bytes.length);
    await writeFile(part, bytes.subarray(0, 100));
    await truncate(join(dir, 'uploads', `${sha256}.size`), 0);
    assert.equal(await blobs.uploadStatus(sha256), undefined);
    await assert.rejects(blobs.appendUpload(sha256, 100, pieces(bytes)), none);
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: 0, complete: false });
  });

  it('that nobody continued are dropped, others stay', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const [young, grown] = [randomBytes(10), randomBytes(10)];
    for (const some of [bytes, young, grown]) {
      await blobs.openUpload(digest(some), some.length);
      await blobs.appendUpload(digest(some), 0, pieces(some.subarray(0, 5)));
    }
    for (const name of [`${sha256}.part`, `${sha256}.size`, `${digest(grown)}.size`]) {
      await utimes(join(dir, 'uploads', name), 1000, 1000);
    }
    assert.equal(await blobs.tidy(2_000_000), 1);
    assert.equal(await blobs.uploadStatus(sha256), undefined);
    assert.equal((await blobs.uploadStatus(digest(young)))?.offset, 5);
    assert.equal((await blobs.uploadStatus(digest(grown)))?.offset, 5);
  });

  it('of nothing are complete at once', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t) });
    const empty = digest(new Uint8Array());
    assert.deepEqual(await blobs.openUpload(empty, 0), { offset: 0, complete: true });
    assert.equal(await blobs.size(empty), 0);
  });
});

describe('a process that is killed', () => {
  const module = JSON.stringify(new URL('../mod.ts', import.meta.url).href);

  /** Runs the script until `done` is true of the store, then kills it. */
  async function killWhen(script: string, done: () => Promise<boolean>): Promise<void> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
    const exited = new Promise((resolve) => child.once('exit', resolve));
    while (!(await done())) {
      assert.equal(child.exitCode, null, complaints);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    child.kill('SIGKILL');
    await exited;
  }

  it('in an upload leaves what arrived, no blob, and a way to go on', async (t) => {
    const dir = await temporaryFolder(t);
    const bytes = Buffer.alloc(3_000_000, 'leonore');
    const sha256 = digest(bytes);
    const part = join(dir, 'uploads', `${sha256}.part`);
    const sizeOfPart = async () => (await stat(part).catch(() => undefined))?.size ?? 0;
    await killWhen(
      `const { openFileBlobs } = await import(${module});
       const blobs = await openFileBlobs({ dir: ${JSON.stringify(dir)} });
       const bytes = Buffer.alloc(${bytes.length}, 'leonore');
       await blobs.openUpload('${sha256}', bytes.length);
       async function* drops() {
         for (let at = 0; at < bytes.length; at += 10_000) {
           yield bytes.subarray(at, at + 10_000);
           await new Promise((resolve) => setTimeout(resolve, 2));
         }
       }
       await blobs.appendUpload('${sha256}', 0, drops());
       await new Promise(() => setInterval(() => {}, 1000));`,
      async () => (await sizeOfPart()) > 300_000,
    );
    await using blobs = await openFileBlobs({ dir });
    assert.deepEqual(await listed(blobs), new Map());
    const { offset, complete } = await blobs.openUpload(sha256, bytes.length);
    assert.equal(complete, false);
    assert.equal(offset, await sizeOfPart());
    assert.ok(offset >= 300_000 && offset < bytes.length);
    assert.equal((await blobs.appendUpload(sha256, offset, pieces(bytes.subarray(offset), 100_000))).complete, true);
    assert.deepEqual(await blobs.bytes(sha256), bytes);
  });

  it('at any point of uploads leaves nothing but whole blobs and what can be gone on with or dropped', async (t) => {
    const dir = await temporaryFolder(t);
    for (let kill = 0; kill < 5; kill++) {
      const blobsBefore = (await listed(await openFileBlobs({ dir }))).size;
      await killWhen(
        `import { createHash, randomBytes } from 'node:crypto';
         const { openFileBlobs } = await import(${module});
         const blobs = await openFileBlobs({ dir: ${JSON.stringify(dir)} });
         async function upload() {
           const bytes = randomBytes(60_000);
           const sha256 = createHash('sha256').update(bytes).digest('hex');
           await blobs.openUpload(sha256, bytes.length);
           await blobs.appendUpload(sha256, 0, (async function* () { yield bytes.subarray(0, 9999); })());
           await blobs.appendUpload(sha256, 9999, (async function* () { yield bytes.subarray(9999); })());
         }
         for (;;) await Promise.all([upload(), upload(), upload(), blobs.put(randomBytes(300))]);`,
        async () => (await listed(await openFileBlobs({ dir }))).size >= blobsBefore + 3 + kill,
      );
      await using blobs = await openFileBlobs({ dir });
      for (const sha256 of (await listed(blobs)).keys())
        assert.deepEqual(await blobs.verify(sha256).then(() => 'sound'), 'sound');
      const { blobs: found, uploads } = await blobs.usage();
      assert.equal(
        found.bytes,
        [...(await listed(blobs)).values()].reduce((sum, size) => sum + size, 0),
      );
      assert.equal(uploads.bytes, uploads.count * 60_000);
    }
    await using blobs = await openFileBlobs({ dir, leftoverAgeMs: -10_000 });
    await blobs.tidy(Infinity);
    assert.deepEqual(await leftovers(dir), []);
    assert.deepEqual((await blobs.usage()).uploads, { count: 0, bytes: 0 });
  });

  it('while it stores blobs leaves only whole ones', async (t) => {
    const dir = await temporaryFolder(t);
    const count = async () => (await listed(await openFileBlobs({ dir }))).size;
    for (let kill = 1; kill <= 3; kill++) {
      const before = await count();
      await killWhen(
        `import { randomBytes } from 'node:crypto';
         const { openFileBlobs } = await import(${module});
         const blobs = await openFileBlobs({ dir: ${JSON.stringify(dir)} });
         for (;;) await Promise.all(Array.from({ length: 4 }, () => blobs.put(randomBytes(200_000))));`,
        async () => (await count()) >= before + 5 * kill,
      );
    }
    await using blobs = await openFileBlobs({ dir });
    for (const [sha256, size] of await listed(blobs)) {
      assert.equal(size, 200_000);
      assert.equal(digest(await blobs.bytes(sha256)), sha256);
    }
  });
});
