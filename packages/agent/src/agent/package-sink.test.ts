import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Sha256 } from '@leonore/protocol';
import fc from 'fast-check';
import { downloadPackage, type HttpConnectivity } from '../connectivity/mod.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { createPackageSink, type Piece } from './package-sink.ts';
import { discardDownloads, openPartStore } from './part-store.ts';

const digest = (bytes: Uint8Array): Sha256 => createHash('sha256').update(bytes).digest('hex') as Sha256;
const pause = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Sketch {
  readonly length: number;
  /** Of it is here from a former run. */
  readonly have: number;
  /** Bytes between it and the next that nobody wants. */
  readonly gap: number;
}
const sketches = fc.array(
  fc
    .record({
      length: fc.integer({ min: 1, max: 200 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      gap: fc.nat(20),
    })
    .map(({ length, share, gap }): Sketch => ({ length, have: Math.floor(share * length), gap })),
  { minLength: 1, maxLength: 8 },
);

void test('property: whatever the server does with ranges and wherever it breaks off, each part ends with its bytes', async () => {
  await using folder = await temporaryFolder();
  await fc.assert(
    fc.asyncProperty(
      sketches,
      fc.boolean(),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 90 }),
      async (list, knowsRanges, breaksAfter, chunkSize) => {
        const dir = await mkdtemp(join(folder.path, 'downloads-'));
        const size = list.reduce((sum, { length, gap }) => sum + length + gap, 0) + 3;
        const content = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7919) % 251));
        await using parts = openPartStore(dir);
        const pieces: Piece[] = [];
        let start = 0;
        for (const { length, have, gap } of list) {
          const bytes = content.subarray(start, start + length);
          await writeFile(join(dir, `${digest(bytes)}.part`), bytes.subarray(0, have));
          const part = await parts.part({ sha256: digest(bytes), length, subject: `the part at ${start}` });
          pieces.push({ start, part });
          start += length + gap;
        }
        const lacking = pieces.reduce((sum, { part }) => sum + part.length - part.have, 0);
        let sent = 0;
        let answers = 0;
        const connectivity: Pick<HttpConnectivity, 'download'> = {
          async download(_, { offset = 0, end } = {}) {
            const from = knowsRanges ? offset : 0;
            const to = knowsRanges ? (end ?? size) : size;
            // A server without ranges begins at 0 each time: it must come through some day.
            const breaksAt = knowsRanges || answers++ < 3 ? from + breaksAfter : size;
            async function* body() {
              for (let at = from; at < Math.min(to, breaksAt); ) {
                const chunk = content.subarray(at, Math.min(at + chunkSize, to, breaksAt));
                at += chunk.length;
                sent += chunk.length;
                await pause();
                yield chunk;
              }
              if (breaksAt < to) throw new Error('connection reset');
            }
            return { offset: from, end: to, total: size, etag: '"x"', body: body() };
          },
        };
        const sink = createPackageSink({
          size,
          pieces: () => pieces,
          toTheEnd: () => false,
          etag: '"x"',
          onEtag: async () => undefined,
        });
        await downloadPackage(connectivity, { url: 'http://x', size }, sink, { initialMs: 0, maxMs: 0 });
        for (const { start: at, part } of pieces) {
          const bytes = await readFile(part.path);
          assert.ok(bytes.equals(content.subarray(at, at + part.length)));
        }
        if (knowsRanges) assert.equal(sent, lacking, 'no byte that is here or not wanted');
        await rm(dir, { recursive: true });
      },
    ),
    { numRuns: 60 },
  );
});

void test('a part that is whole but has another digest does not count, neither when it comes nor when it is found', async () => {
  await using folder = await temporaryFolder();
  const dir = folder.path;
  const bytes = Buffer.from('what it should be');
  const name = { sha256: digest(bytes), length: bytes.length, subject: 'the segment of svm' };
  {
    await using parts = openPartStore(dir);
    const part = await parts.part(name);
    await part.append(bytes.subarray(0, 5));
    await assert.rejects(part.append(Buffer.from('something el')), /the segment of svm has the SHA-256/);
    assert.equal(part.have, 0);
    assert.deepEqual(await readdir(dir), []);
    await part.append(bytes);
    assert.equal(part.received, 5 + 12 + bytes.length);
  }
  const found = async () => {
    await using parts = openPartStore(dir);
    return (await parts.part(name)).have;
  };
  assert.equal(await found(), bytes.length);
  for (const other of ['what it should bE', 'what it should be and more']) {
    await writeFile(join(dir, `${name.sha256}.part`), other);
    assert.equal(await found(), 0);
  }
});

void test('what is not to be kept is deleted, ETags too', async () => {
  await using folder = await temporaryFolder();
  const dir = folder.path;
  await using parts = openPartStore(dir);
  const [kept, other] = [digest(Buffer.from('a')), digest(Buffer.from('b'))];
  for (const sha256 of [kept, other]) {
    await writeFile(join(dir, `${sha256}.part`), 'x');
    await parts.setEtag(sha256, '"etag"');
  }
  await writeFile(join(dir, 'of an older agent.json'), '{}');
  await discardDownloads(dir, new Set([kept]));
  assert.deepEqual((await readdir(dir)).toSorted(), [`${kept}.etag`, `${kept}.part`]);
  assert.equal(await parts.etag(kept), '"etag"');
  assert.equal(await parts.etag(other), undefined);
  await discardDownloads(dir);
  assert.deepEqual(await readdir(dir), []);
});
