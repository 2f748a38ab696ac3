import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isLeonoreError, type Sha256 } from '@leonore/protocol';
import fc from 'fast-check';
import type { BlobDamage } from '../contract.ts';
import { openFileBlobs } from '../mod.ts';
import { collect, digest, pieces, temporaryFolder } from './testing/blobs.ts';

const PIECE = 256 * 1024;
const corrupt = { code: 'storage.corrupt' };
const fileOf = (dir: string, sha256: Sha256) => join(dir, sha256.slice(0, 2), sha256);

async function flip(file: string, at: number): Promise<void> {
  await using handle = await open(file, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
  buffer[0]! ^= 0x40;
  await handle.write(buffer, 0, 1, at);
}

describe('a blob that rots', () => {
  it('gives no byte that is wrong: whichever byte, whatever is read, known before or not', async (t) => {
    const dir = await temporaryFolder(t);
    const sizes = fc.oneof(
      fc.integer({ min: 1, max: 2000 }),
      fc.constantFrom(PIECE - 1, PIECE, PIECE + 1, 2 * PIECE),
      fc.integer({ min: PIECE, max: 4 * PIECE }),
    );
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), fc.nat(), fc.boolean(), async (size, byte, a, b, isKnown) => {
        const bytes = randomBytes(size);
        await using blobs = await openFileBlobs({ dir });
        const sha256 = await blobs.put(bytes);
        if (isKnown) await blobs.prove(sha256);
        await flip(fileOf(dir, sha256), byte % size);
        const [start, end] = [Math.min(a % size, b % size), Math.max(a % size, b % size) + 1];
        let got = Buffer.alloc(0);
        try {
          for await (const some of blobs.read(sha256, { start, end })) got = Buffer.concat([got, some]);
          // Only what lies in pieces that are right can be read.
          const [first, last] = [Math.floor(start / PIECE), Math.floor((end - 1) / PIECE)];
          const wrong = Math.floor((byte % size) / PIECE);
          assert.ok(isKnown && (wrong < first || wrong > last));
          assert.equal(got.length, end - start);
        } catch (error) {
          if (!isLeonoreError(error, 'storage.corrupt')) throw error;
          assert.equal(await blobs.size(sha256), undefined);
          assert.ok((await readFile(join(dir, 'damaged', sha256))).length === size);
        }
        assert.ok(got.equals(bytes.subarray(start, start + got.length)));
        await assert.rejects(blobs.bytes(sha256), corrupt);
        await blobs.forgetDamage(sha256);
      }),
      { numRuns: 60 },
    );
  });

  it('is found by 100 readers at once in one reading, and told of once', async (t) => {
    const dir = await temporaryFolder(t);
    const told: BlobDamage[] = [];
    await using blobs = await openFileBlobs({ dir, onDamage: (damage) => told.push(damage), now: () => 77_000 });
    const sha256 = await blobs.put(randomBytes(5 * PIECE));
    await flip(fileOf(dir, sha256), 4 * PIECE);
    const reads = Array.from({ length: 100 }, () => collect(blobs.read(sha256, { start: 0, end: 10 })));
    for (const read of await Promise.allSettled(reads)) assert.equal(read.status, 'rejected');
    assert.deepEqual(told, [{ sha256, problem: 'damaged', foundAt: 77_000 }]);
    assert.deepEqual(await blobs.damages(), told);
  });

  it('in the middle of being read is cut there', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const bytes = randomBytes(3 * PIECE);
    const sha256 = await blobs.put(bytes);
    const reader = blobs.read(sha256)[Symbol.asyncIterator]();
    assert.deepEqual((await reader.next()).value, bytes.subarray(0, PIECE));
    await flip(fileOf(dir, sha256), PIECE + 5);
    await assert.rejects(reader.next(), corrupt);
  });

  it('is known again after a restart, and healed by the same bytes, put or uploaded', async (t) => {
    const dir = await temporaryFolder(t);
    const bytes = randomBytes(2 * PIECE);
    const sha256 = digest(bytes);
    for (const heal of ['put', 'upload'] as const) {
      {
        await using blobs = await openFileBlobs({ dir });
        await blobs.put(bytes);
        await truncate(fileOf(dir, sha256), bytes.length - 1);
        await assert.rejects(blobs.prove(sha256), { ...corrupt, details: { sha256, problem: 'damaged' } });
      }
      await using blobs = await openFileBlobs({ dir });
      assert.deepEqual(
        (await blobs.damages()).map((damage) => [damage.sha256, damage.problem]),
        [[sha256, 'damaged']],
      );
      await assert.rejects(blobs.bytes(sha256), /found damaged and set aside/);
      if (heal === 'put') await blobs.put(bytes);
      else {
        assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: 0, complete: false });
        await blobs.appendUpload(sha256, 0, pieces(bytes, 100_000));
      }
      assert.deepEqual(await blobs.bytes(sha256), bytes);
      assert.deepEqual(await blobs.damages(), []);
      assert.equal(existsSync(join(dir, 'damaged', sha256)), false);
    }
  });

  it('unnoticed is found when somebody wants to upload it again', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const bytes = randomBytes(PIECE + 1);
    const sha256 = await blobs.put(bytes);
    await blobs.prove(sha256);
    await flip(fileOf(dir, sha256), 9);
    assert.deepEqual(await blobs.openUpload(sha256, bytes.length), { offset: 0, complete: false });
    await blobs.appendUpload(sha256, 0, pieces(bytes, 100_000));
    assert.deepEqual(await collect(blobs.read(sha256)), bytes);
  });

  it('is found by verifying though it was proven before', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const sha256 = await blobs.put(randomBytes(2 * PIECE));
    assert.deepEqual(await blobs.verify(sha256), { size: 2 * PIECE });
    await blobs.prove(sha256);
    await flip(fileOf(dir, sha256), 2 * PIECE - 1);
    await blobs.prove(sha256);
    await assert.rejects(blobs.verify(sha256), corrupt);
  });
});

describe('a blob that is gone', () => {
  it('is told of once, and forgotten when it comes again', async (t) => {
    const dir = await temporaryFolder(t);
    const told: BlobDamage[] = [];
    await using blobs = await openFileBlobs({ dir, onDamage: (damage) => told.push(damage) });
    const bytes = randomBytes(100);
    const sha256 = await blobs.put(bytes);
    await blobs.prove(sha256);
    await rm(fileOf(dir, sha256));
    const whole = (name: Sha256) => collect(blobs.read(name));
    for (const ask of [whole, blobs.bytes, blobs.prove, blobs.verify]) {
      await assert.rejects(ask(sha256), { ...corrupt, details: { sha256, problem: 'missing' } });
    }
    assert.deepEqual(
      told.map(({ problem }) => problem),
      ['missing'],
    );
    assert.deepEqual(await blobs.damages(), told);
    // Another process put it back.
    await writeFile(fileOf(dir, sha256), bytes);
    assert.deepEqual(await blobs.damages(), []);
    assert.deepEqual(await blobs.bytes(sha256), bytes);
  });
});

describe('a sound blob', () => {
  it('is read once in full for many readers of a part, whatever the memory for digests', async (t) => {
    if (!existsSync('/proc/self/io')) return t.skip('this system does not count what is read');
    const dir = await temporaryFolder(t);
    const read = async () => Number(/rchar: (\d+)/.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
    const bytes = randomBytes(40 * PIECE);
    for (const maxDigestBytes of [1_000_000, 0]) {
      await using blobs = await openFileBlobs({ dir, maxDigestBytes });
      const sha256 = await blobs.put(bytes);
      const before = await read();
      const parts = await Promise.all(
        Array.from({ length: 40 }, (_, at) => collect(blobs.read(sha256, { start: at * PIECE, end: at * PIECE + 9 }))),
      );
      for (const [at, part] of parts.entries()) assert.deepEqual(part, bytes.subarray(at * PIECE, at * PIECE + 9));
      const amount = (await read()) - before;
      assert.ok(amount < 2.5 * bytes.length, `${amount} bytes were read for a blob of ${bytes.length}`);
      assert.deepEqual(await blobs.damages(), []);
    }
  });

  it('is not blamed for a range that it never had, nor for a file that is closed to us', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir });
    const sha256 = await blobs.put(randomBytes(50));
    await assert.rejects(collect(blobs.read(sha256, { start: 0, end: 51 })), { code: 'server.internal' });
    if (process.getuid?.() !== 0) {
      await chmod(fileOf(dir, sha256), 0);
      await assert.rejects(blobs.verify(sha256), { code: 'EACCES' });
    }
    assert.equal(await blobs.size(sha256), 50);
    assert.deepEqual(await blobs.damages(), []);
  });
});
