import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DEFAULT_TENANT, isLeonoreError } from '@leonore/protocol';
import fc from 'fast-check';
import type { BlobStore } from '../repositories/mod.ts';
import { createPackageManagement, type PackageManagement } from './mod.ts';
import { openShelf, upload } from './testing/shelf.ts';

const GRACE_MS = 1000;

describe('an eager collector beside publishers', () => {
  it('never takes a segment of a published build, on this node or on another with the same store', async () => {
    /** How many turns each next call of the store waits: so that everything meets everything. */
    let waits: readonly number[] = [];
    let call = 0;
    const late = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        const turns = waits[call++ % waits.length] ?? 0;
        for (let turn = 0; turn < turns; turn++) await nextTurn();
        return work(...args);
      };
    };
    const between = (blobs: BlobStore): BlobStore => ({
      ...blobs,
      size: late(blobs.size),
      touch: late(blobs.touch),
      remove: late(blobs.remove),
      openUpload: late(blobs.openUpload),
      async *read(sha256, range) {
        await late(() => Promise.resolve())();
        yield* blobs.read(sha256, range);
      },
    });
    await using shelf = await openShelf({ between });
    const { clock, blobs, repositories } = shelf;
    const second = createPackageManagement({ repositories, blobs: between(blobs), now: () => clock.now }, {});
    const nodes = [shelf.packages, second];
    let [round, published] = [0, 0];

    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            node: fc.nat(1),
            publishes: fc.boolean(),
            pauseMs: fc.constantFrom(0, GRACE_MS - 1, 2 * GRACE_MS),
          }),
          {
            minLength: 1,
            maxLength: 4,
          },
        ),
        fc.array(fc.nat(40), { minLength: 5, maxLength: 30 }),
        async (publishers, someWaits) => {
          [waits, call] = [someWaits, 0];
          // Content of its own each time: what was published once is safe for ever.
          const content = String(++round);
          const packed = await shelf.pack({ manifest: { name: 'x', version: '1.0.0' }, binary: { content } });
          const work = new AbortController();
          const collect = async (packages: PackageManagement) => {
            while (!work.signal.aborted) {
              await packages.collect(clock.now - GRACE_MS);
              await nextTurn();
            }
          };
          const collecting = nodes.map(collect);
          let publishing = 0;
          const publish = async ({ node, publishes, pauseMs }: (typeof publishers)[number], which: number) => {
            const packages = nodes[node]!;
            await upload(packed, packages);
            // The one thing that is promised: between its beginning and its end a publication is quicker than the grace time.
            if (publishing === 0) clock.now += pauseMs;
            if (!publishes) return;
            publishing++;
            const manifest = { ...packed.manifest, version: `1.${round}.${which}` };
            const request = { manifest, segments: [...packed.segments] };
            await packages.publish(DEFAULT_TENANT, request).finally(() => publishing--);
          };
          const outcomes = await Promise.allSettled(publishers.map(publish));
          work.abort();
          await Promise.all(collecting);

          for (const one of outcomes) {
            // Whoever was slower than the grace time, or met another sender, is told and tries again.
            if (one.status === 'fulfilled') continue;
            const expected = [
              'artifact.segment-missing',
              'upload.offset',
              'upload.unknown',
              'storage.corrupt',
            ] as const;
            if (!expected.some((code) => isLeonoreError(one.reason, code))) throw one.reason;
          }
          const needed = new Set(await repositories.read.artifacts.segmentDigests(undefined, 1000));
          for (const sha256 of needed) {
            assert.notEqual(await blobs.size(sha256), undefined, 'a published segment is gone');
          }
          clock.now += 10 * GRACE_MS;
          await shelf.packages.collect(clock.now);
          for await (const { sha256 } of blobs.list()) assert.ok(needed.has(sha256), 'an orphan is left');
          published += needed.size;
        },
      ),
      { numRuns: 40 },
    );
    assert.ok(published > 20, 'most publications came through');
  });
});
