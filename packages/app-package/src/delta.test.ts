import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { isLeonoreError } from '@leonore/protocol';
import fc from 'fast-check';
import { applyDelta, makeDelta } from './mod.ts';
import { piecewise } from './testing/packages.ts';
import { run, skipWithout } from './testing/tools.ts';
import { testFolder } from './testing/trees.ts';

const folder = testFolder();
const KIB = 1024;

async function applied(
  delta: Uint8Array,
  oldTar: Uint8Array,
  { maxBytes = 64 * KIB * KIB, pieceSize = 4096 } = {},
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of applyDelta(piecewise(delta, pieceSize), oldTar, { maxBytes })) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isLeonoreError(error)) return error.code;
    throw error;
  }
  return 'none';
}

/** As builds change: pieces of the old bytes moved, removed and repeated, with other bytes between them. */
const pair = fc
  .record({
    old: fc.uint8Array({ maxLength: 3000 }),
    repeat: fc.integer({ min: 1, max: 40 }),
    cuts: fc.array(
      fc.record({
        from: fc.double({ min: 0, max: 1, noNaN: true }),
        length: fc.nat(5000),
        other: fc.uint8Array({ maxLength: 60 }),
      }),
      { maxLength: 12 },
    ),
  })
  .map(({ old, repeat, cuts }) => {
    const before = Buffer.concat(Array.from({ length: repeat }, () => old));
    const after = cuts.flatMap(({ from, length, other }) => {
      const start = Math.floor(from * before.length);
      return [before.subarray(start, start + length), other];
    });
    return { before, after: Buffer.concat(after) };
  });

/** Two releases of something that does not compress: a little inserted, changed and removed. */
function releases(size: number): { before: Buffer; after: Buffer } {
  const before = randomBytes(size);
  const after = Buffer.concat([
    before.subarray(0, size / 4),
    randomBytes(500),
    before.subarray(size / 4, size / 2),
    before.subarray(size / 2 + 300),
  ]);
  return { before, after };
}

describe('a delta', () => {
  it('makes the new bytes of the old ones, whatever they are and however it arrives', async () => {
    await fc.assert(
      fc.asyncProperty(pair, fc.integer({ min: 1, max: 5000 }), async ({ before, after }, pieceSize) => {
        const delta = makeDelta(before, after);
        assert.deepEqual(await applied(delta, before, { maxBytes: after.length, pieceSize }), after);
      }),
      { numRuns: 60 },
    );
  });

  for (const mib of [1, 8, 24]) {
    it(`of two releases of ${mib} MiB has the size of what changed`, async () => {
      const { before, after } = releases(mib * KIB * KIB);
      const delta = makeDelta(before, after);
      assert.ok(delta.length < 8 * KIB, `${delta.length} bytes`);
      assert.ok((await applied(delta, before, { pieceSize: 65_536 })).equals(after));
    });
  }

  it('is the same each time', () => {
    const { before, after } = releases(100 * KIB);
    assert.deepEqual(makeDelta(before, after), makeDelta(before, after));
  });

  it('to bytes that have nothing in common with the old ones is little longer than these', async () => {
    const [before, after] = [randomBytes(50 * KIB), randomBytes(50 * KIB)];
    const delta = makeDelta(before, after);
    assert.ok(delta.length < after.length + 100);
    assert.deepEqual(await applied(delta, before), after);
  });

  it('comes out in pieces, however much it makes', async () => {
    const before = randomBytes(KIB);
    const after = Buffer.alloc(32 * KIB * KIB, before);
    const delta = makeDelta(before, after);
    let total = 0;
    for await (const piece of applyDelta(piecewise(delta), before, { maxBytes: after.length })) {
      assert.ok(piece.length <= 65_536);
      total += piece.length;
    }
    assert.equal(total, after.length);
  });
});

describe('a delta that is no good', () => {
  const { before, after } = releases(200 * KIB);
  const delta = makeDelta(before, after);
  const corruptCases: [string, Uint8Array][] = [
    ['of nothing', Buffer.alloc(0)],
    ['of garbage', randomBytes(5000)],
    ['with bytes behind it', Buffer.concat([delta, randomBytes(10)])],
    ['with a second frame', Buffer.concat([delta, zstdCompressSync('more')])],
    ['with a skippable frame before it', Buffer.concat([Buffer.from('502a4d1804000000deadbeef', 'hex'), delta])],
  ];
  for (const [name, bytes] of corruptCases) {
    for (const pieceSize of [1, 7, 100_000]) {
      it(`${name} is refused (pieces of ${pieceSize})`, async () => {
        assert.equal(await refusal(applied(bytes, before, { pieceSize })), 'archive.corrupt');
      });
    }
  }

  it('is refused wherever it is cut off', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: delta.length - 1 }),
        fc.constantFrom(1, 64, 100_000),
        async (at, size) => {
          assert.equal(await refusal(applied(delta.subarray(0, at), before, { pieceSize: size })), 'archive.corrupt');
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is refused, or makes the same, wherever a bit is flipped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: delta.length * 8 - 1 }), async (bit) => {
        const flipped = Buffer.from(delta);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const made = await applied(flipped, before, { maxBytes: after.length }).catch((error: unknown) => {
          assert.ok(isLeonoreError(error), String(error));
          assert.match(error.code, /^archive\.(corrupt|hostile)$/);
          return after;
        });
        assert.ok(made.equals(after));
      }),
      { numRuns: 200 },
    );
  });

  it('is refused for other old bytes', async () => {
    for (const other of [randomBytes(before.length), before.subarray(0, -1), Buffer.alloc(0), after]) {
      assert.equal(await refusal(applied(delta, other)), 'archive.corrupt');
    }
  });

  it('never makes more than it may', async () => {
    assert.equal(await refusal(applied(delta, before, { maxBytes: after.length - 1 })), 'archive.hostile');
    const bomb = makeDelta(before, Buffer.alloc(64 * KIB * KIB));
    const source = piecewise(bomb, 16);
    let made = 0;
    const work = async () => {
      for await (const piece of applyDelta(source, before, { maxBytes: KIB * KIB })) made += piece.length;
    };
    assert.equal(await refusal(work()), 'archive.hostile');
    assert.ok(made <= KIB * KIB);
    assert.ok(source.state.closed);
  });

  it('is refused when it asks for more memory than its output takes', async () => {
    // A window of 128 MiB and a block of four bytes.
    const greedy = Buffer.from('28b52ffd008821000061626364', 'hex');
    assert.equal(await refusal(applied(greedy, before, { maxBytes: KIB })), 'archive.hostile');
  });

  it('leaves the errors of its source as they are and closes it when nobody wants more', async () => {
    const gone = new Error('connection reset');
    async function* breaking() {
      yield delta.subarray(0, 100);
      await Promise.resolve();
      throw gone;
    }
    const all = async () => {
      for await (const _ of applyDelta(breaking(), before, { maxBytes: after.length }));
    };
    await assert.rejects(all(), gone);
    const source = piecewise(makeDelta(before, randomBytes(KIB * KIB)), 1000);
    for await (const _ of applyDelta(source, before, { maxBytes: 2 * KIB * KIB })) break;
    while (!source.state.closed) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(source.state.taken < KIB * KIB);
  });
});

describe('beside the zstd command', { skip: skipWithout('zstd', 'zstd') }, () => {
  async function files() {
    const dir = await folder();
    const { before, after } = releases(3 * KIB * KIB);
    await writeFile(join(dir, 'old.tar'), before);
    await writeFile(join(dir, 'new.tar'), after);
    return { dir, before, after, path: (name: string) => join(dir, name) };
  }

  it('a delta is applied by zstd -d --patch-from', async () => {
    const { before, after, path } = await files();
    await writeFile(path('delta'), makeDelta(before, after));
    run('zstd', ['-d', '-q', '--long=31', '--patch-from', path('old.tar'), path('delta'), '-o', path('made')]);
    assert.equal(sha256(await readFile(path('made'))), sha256(after));
  });

  it('what zstd --patch-from makes is applied here', async () => {
    const { before, after, path } = await files();
    run('zstd', ['-q', '-12', '--patch-from', path('old.tar'), path('new.tar'), '-o', path('patch')]);
    const made = await applied(await readFile(path('patch')), before, { maxBytes: after.length });
    assert.equal(sha256(made), sha256(after));
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
