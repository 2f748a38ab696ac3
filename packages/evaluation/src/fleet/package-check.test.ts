import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTask } from '@leonore/agent';
import * as fc from 'fast-check';
import { makePackage } from '../testing/made-package.ts';
import { createHeaderReader } from './header-reader.ts';
import { createPackageCheck, type PackageCheck } from './package-check.ts';

const made = makePackage();
const deployment = made.deployment(1, 'http://127.0.0.1/package');
const digest = deployment.deployment.chunks[0]?.artifacts[0]?.hashes.sha256 ?? '';
const check = (): PackageCheck => createPackageCheck(parseTask(deployment), digest, createHeaderReader());

async function feed(sink: PackageCheck, bytes: Buffer, chunkSize = bytes.length): Promise<void> {
  for (let at = 0; at < bytes.length; at += chunkSize) await sink.append(bytes.subarray(at, at + chunkSize));
}

void test('the right bytes are taken, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: made.bytes.length }), async (chunkSize) => {
      const sink = check();
      await feed(sink, made.bytes, chunkSize);
      assert.deepEqual(await sink.finish(), made.manifest);
    }),
    { numRuns: 50 },
  );
});

void test('one wrong byte, wherever it is, is noticed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: made.bytes.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      fc.integer({ min: 100, max: 2000 }),
      async (at, flip, chunkSize) => {
        const wrong = Buffer.from(made.bytes);
        wrong[at] = (wrong[at] ?? 0) ^ flip;
        const sink = check();
        await assert.rejects(
          feed(sink, wrong, chunkSize).then(() => sink.finish()),
          { name: 'LeonoreError' },
        );
      },
    ),
    {
      numRuns: 200,
      examples: [
        [0, 1, 500],
        [made.headerSize, 1, 500],
        [made.bytes.length - 1, 1, 500],
      ],
    },
  );
});

void test('bytes that are missing are noticed', async () => {
  for (const length of [0, 10, made.headerSize, made.headerSize + 100, made.bytes.length - 1]) {
    const sink = check();
    await feed(sink, made.bytes.subarray(0, length));
    await assert.rejects(sink.finish(), { code: 'archive.mismatch' });
  }
});

void test('a start from the beginning forgets what came before', async () => {
  const sink = check();
  await feed(sink, made.bytes.subarray(0, made.headerSize + 500));
  await sink.restart('"other"');
  assert.deepEqual(sink.position(), { offset: 0, etag: '"other"' });
  await feed(sink, made.bytes, 700);
  assert.deepEqual(await sink.finish(), made.manifest);
});

void test('a reader that knows a header still notices a wrong byte in the next one', async () => {
  const readHeader = createHeaderReader();
  const task = parseTask(deployment);
  const header = made.bytes.subarray(0, made.headerSize);
  assert.deepEqual(await readHeader(header, task), made.manifest);
  for (const at of [0, 4, 9, header.length >> 1, header.length - 1]) {
    const wrong = Buffer.from(header);
    wrong[at] = (wrong[at] ?? 0) ^ 1;
    await assert.rejects(readHeader(wrong, task), { code: 'archive.mismatch' });
  }
  assert.deepEqual(await readHeader(header, task), made.manifest);
});
