import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { createByteReader } from './byte-reader.ts';
import { MAX_PATH_BYTES, pathFault } from './entry-path.ts';
import { readTar } from './tar-reader.ts';
import { encodeTarEntry, MAX_FILE_BYTES, tarPadding, type TarEntry } from './tar-writer.ts';
import { piecewise } from './testing/packages.ts';

const part = fc.oneof(
  fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
  fc.integer({ min: 1, max: 255 }).map((n) => 'p'.repeat(n)),
);
const path = fc
  .array(part, { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join('/'))
  .filter((text) => pathFault(text) === undefined);
const entry: fc.Arbitrary<TarEntry> = fc.oneof(
  fc.record(
    { type: fc.constant('folder' as const), path, mode: fc.constant(0o755 as const), size: fc.constant(0) },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      type: fc.constant('file' as const),
      path,
      mode: fc.constantFrom(0o755 as const, 0o644 as const),
      size: fc.nat(2000),
    },
    { noNullPrototype: true },
  ),
);

it('every entry that is written is read the same, whatever its length and the chunks', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 5 }), fc.integer({ min: 1, max: 3000 }), async (entries, chunk) => {
      const tar = Buffer.concat(
        entries.flatMap((one) => [
          encodeTarEntry(one),
          Buffer.alloc(one.size, 0x61),
          Buffer.alloc(tarPadding(one.size)),
        ]),
      );
      const read: TarEntry[] = [];
      await readTar(createByteReader(piecewise(tar, chunk)), 'the tar', async (one, body) => {
        let size = 0;
        for await (const bytes of body) size += bytes.length;
        assert.equal(size, one.size);
        read.push(one);
      });
      assert.deepEqual(read, entries);
    }),
    { numRuns: 200 },
  );
});

it('names of every length up to the longest are written and read', async () => {
  for (let length = 1; length <= MAX_PATH_BYTES; length += length > 90 && length < 270 ? 1 : 13) {
    const name = `${'abcdefg/'.repeat(130).slice(0, length - 1)}x`;
    for (const type of ['file', 'folder'] as const) {
      const one: TarEntry = { type, path: name, mode: 0o755, size: 0 };
      const read: TarEntry[] = [];
      await readTar(createByteReader(piecewise(encodeTarEntry(one))), 'the tar', async (back) => {
        await Promise.resolve();
        read.push(back);
      });
      assert.deepEqual(read, [one]);
    }
  }
});

it('the largest size fits into its field', () => {
  const header = encodeTarEntry({ type: 'file', path: 'a', mode: 0o644, size: MAX_FILE_BYTES });
  assert.equal(header.subarray(124, 136).toString('latin1'), '77777777777\0');
});
