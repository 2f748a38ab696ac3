import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { isLeonoreError } from '@leonore/protocol';
import fc from 'fast-check';
import type { StoreUsage } from '../contract.ts';
import { openFileBlobs } from '../mod.ts';
import { digest, pieces, temporaryFolder } from './testing/blobs.ts';

const MIB = 2 ** 20;

describe('the quota', () => {
  it('is never passed by uploads and blobs together, however they meet', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ size: fc.integer({ min: 1, max: 400 }), put: fc.boolean(), end: fc.boolean() }), {
          minLength: 2,
          maxLength: 8,
        }),
        fc.integer({ min: 1, max: 900 }),
        async (wishes, quota) => {
          const dir = await temporaryFolder(t);
          await using blobs = await openFileBlobs({ dir, quota });
          await Promise.allSettled(
            wishes.map(async ({ size, put, end }) => {
              const bytes = randomBytes(size);
              if (put) return blobs.put(bytes);
              await blobs.openUpload(digest(bytes), size);
              return blobs.appendUpload(digest(bytes), 0, pieces(end ? bytes : bytes.subarray(0, size / 2), 50));
            }),
          ).then((outcomes) => {
            for (const one of outcomes) {
              if (one.status === 'rejected' && !isLeonoreError(one.reason, 'storage.quota')) throw one.reason;
            }
          });
          const usage = await blobs.usage();
          assert.ok(usage.blobs.bytes + usage.uploads.bytes <= quota, JSON.stringify(usage));
          // Counted along the way, it is what a new process finds on the disk.
          await using again = await openFileBlobs({ dir, quota });
          assert.deepEqual([(await again.usage()).blobs, (await again.usage()).uploads], [usage.blobs, usage.uploads]);
          // What did not fit had no reason but the quota.
          const fitting = wishes.reduce((sum, { size }) => sum + size, 0) <= quota;
          if (fitting) assert.equal(usage.blobs.count + usage.uploads.count, wishes.length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('says the limit, what is used and how to change it; what goes makes room', async (t) => {
    await using blobs = await openFileBlobs({ dir: await temporaryFolder(t), quota: 3 * MIB });
    const kept = await blobs.put(randomBytes(MIB));
    const begun = randomBytes(MIB);
    await blobs.openUpload(digest(begun), begun.length);
    const bytes = randomBytes(1.5 * MIB);
    await assert.rejects(blobs.openUpload(digest(bytes), bytes.length), {
      code: 'storage.quota',
      retryable: false,
      message:
        /may hold 3\.0 MiB \(LEONORE_STORE_QUOTA or leonore node --store-quota\): 1\.0 MiB are used, 1\.0 MiB are announced by uploads, and this needs 1\.5 MiB/,
    });
    assert.equal(await blobs.uploadStatus(digest(bytes)), undefined);
    // Going on with what was announced needs no more room, and counts once.
    assert.equal((await blobs.openUpload(digest(begun), begun.length)).complete, false);
    await blobs.appendUpload(digest(begun), 0, pieces(begun, MIB));
    await assert.rejects(blobs.put(bytes), { code: 'storage.quota' });
    await blobs.remove(kept);
    await blobs.put(bytes);
    assert.deepEqual((await blobs.usage()).blobs, { count: 2, bytes: 2.5 * MIB });
  });

  it('gets back what was announced and given up, and what rotted', async (t) => {
    const dir = await temporaryFolder(t);
    await using blobs = await openFileBlobs({ dir, quota: 100 });
    const bytes = randomBytes(100);
    await blobs.openUpload(digest(bytes), 100);
    await assert.rejects(blobs.put(randomBytes(1)), { code: 'storage.quota' });
    assert.equal(await blobs.tidy(Infinity), 1);
    await blobs.openUpload(digest(bytes), 100);
    await assert.rejects(blobs.appendUpload(digest(bytes), 0, pieces(randomBytes(100))), { code: 'upload.digest' });
    assert.deepEqual((await blobs.usage()).uploads, { count: 0, bytes: 0 });
    await blobs.put(bytes);
  });
});

describe('a disk', () => {
  it('that is nearly full is told of once; what would fill it is refused before a byte is written', async (t) => {
    const dir = await temporaryFolder(t);
    const states: StoreUsage['disk'][] = [];
    let free = 1000 * MIB;
    await using blobs = await openFileBlobs({
      dir,
      keepFree: 100 * MIB,
      disk: () => Promise.resolve({ total: 2000 * MIB, free }),
      onDiskState: (disk) => states.push(disk),
    });
    const bytes = randomBytes(MIB);
    const other = randomBytes(MIB + 1);
    free = 150 * MIB;
    await blobs.openUpload(digest(bytes), 30 * MIB);
    await blobs.usage();
    // 30 MiB of the 50 that are left belong to the upload that was begun.
    await assert.rejects(blobs.openUpload(digest(other), 21 * MIB), {
      code: 'storage.full',
      message:
        /the disk has 150 MiB free, 100 MiB are kept free \(LEONORE_KEEP_FREE or leonore node --keep-free\), 30\.0 MiB are still to come for others, and this needs 21\.0 MiB/,
    });
    free = 129 * MIB;
    await assert.rejects(blobs.appendUpload(digest(bytes), 0, pieces(bytes)), { code: 'storage.full' });
    assert.deepEqual(await readdir(join(dir, 'uploads')), [`${digest(bytes)}.size`]);
    free = 99 * MIB;
    await assert.rejects(blobs.put(randomBytes(1)), { code: 'storage.full' });
    await blobs.usage();
    free = 500 * MIB;
    assert.equal((await blobs.usage()).disk.state, 'ok');
    assert.deepEqual(
      states.map(({ state }) => state),
      ['low', 'full', 'ok'],
    );
  });

  /** A file system of one MiB, as root can make one. */
  async function smallDisk(t: TestContext): Promise<string | undefined> {
    const folder = await mkdtemp(join(tmpdir(), 'leonore-small-disk-'));
    const run = promisify(execFile);
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
    } catch {
      await rmdir(folder);
      return undefined;
    }
    t.after(async () => {
      await run('umount', [folder]);
      await rmdir(folder);
    });
    return folder;
  }

  it('that is full in the middle leaves what arrived and no torn file; with room again it goes on', async (t) => {
    const folder = await smallDisk(t);
    if (folder === undefined) return t.skip('only root can mount a small disk');
    const dir = join(folder, 'blobs');
    await using real = await openFileBlobs({ dir, keepFree: 1000 });
    const stone = randomBytes(600_000);
    const filler = await real.put(stone);
    const bytes = randomBytes(700_000);
    const sha256 = digest(bytes);
    await assert.rejects(real.openUpload(sha256, bytes.length), { code: 'storage.full' });

    // A disk that somebody else fills after we looked.
    await using blobs = await openFileBlobs({ dir, disk: () => Promise.resolve({ total: MIB, free: MIB }) });
    await assert.rejects(blobs.put(bytes), { code: 'storage.full' });
    await blobs.openUpload(sha256, bytes.length);
    await assert.rejects(blobs.appendUpload(sha256, 0, pieces(bytes)), { code: 'storage.full', message: /is full/ });
    assert.deepEqual(await readdir(join(dir, 'tmp')), []);
    assert.deepEqual((await Array.fromAsync(blobs.list())).length, 1);
    const status = await blobs.uploadStatus(sha256);
    assert.ok(status && status.offset > 100_000 && status.offset < bytes.length && !status.complete);

    await blobs.remove(filler);
    await blobs.appendUpload(sha256, status.offset, pieces(bytes.subarray(status.offset)));
    assert.deepEqual(await blobs.bytes(sha256), bytes);
  });
});
