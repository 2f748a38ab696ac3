/** Packages that were damaged, cut, changed or blown up on their way: every one is refused and leaves nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { type Encoding, ENCODINGS, isLeonoreError, type ErrorCode, type PackageComponent } from '@leonore/protocol';
import { findHeader, inspectSegment, readPackageHeader, unpackPackage, type UnpackOptions } from './mod.ts';
import { packageAround, piecewise, SVM, type TestPackage } from './testing/packages.ts';
import { compressRaw, fileEntry, rawEntry, rawFile, rawFolder, sha256Of } from './testing/raw-tar.ts';
import { testFolder } from './testing/trees.ts';

const folder = testFolder();
const ANY_FAULT: readonly ErrorCode[] = ['archive.corrupt', 'archive.hostile', 'archive.mismatch'];

const A = 'binary/svm/a';
const B = 'binary/svm/b';
const TAR = Buffer.concat([rawFolder('binary/svm'), rawFile(A, 'a'.repeat(700)), rawFile(B, 'b', 0o755)]);
const FILES = [fileEntry(A, 'a'.repeat(700)), fileEntry(B, 'b', 0o755)];

/** Unpacks what must not be unpacked; gives the error's code and text. */
async function refusal(
  bytes: Uint8Array,
  announced: TestPackage,
  change: Partial<UnpackOptions> = {},
  codes: readonly ErrorCode[] = ANY_FAULT,
): Promise<string> {
  const into = join(await folder(), 'staging');
  const source = piecewise(bytes, 64);
  try {
    await unpackPackage(source, { ...announced, into, durable: false, ...change });
  } catch (error) {
    assert.ok(isLeonoreError(error) && codes.includes(error.code), String(error));
    await assert.rejects(access(into), { code: 'ENOENT' });
    assert.ok(source.state.closed);
    return `${error.code}: ${error.message}`;
  }
  return assert.fail('it was unpacked');
}

for (const encoding of ENCODINGS) {
  const sound = packageAround(encoding, TAR, FILES);
  const segment = sound.bytes.subarray(sound.headerSize, sound.size - sound.trailer.length);

  describe(`a damaged package (${encoding})`, () => {
    it('is sound before it is damaged', async () => {
      const into = join(await folder(), 'staging');
      await unpackPackage(piecewise(sound.bytes, 1), { ...sound, into });
    });

    it('is refused whichever bit is flipped', async () => {
      for (let at = 0; at < sound.size; at += at < sound.size - sound.trailer.length ? 7 : 1) {
        const bytes = Buffer.from(sound.bytes);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
        await refusal(bytes, sound);
      }
    });

    it('is refused wherever it is cut', async () => {
      const edges = [0, 1, sound.headerSize, sound.size - sound.trailer.length, sound.size];
      const cuts = new Set(edges.flatMap((edge) => [edge - 1, edge, edge + 1]));
      for (let at = 0; at < sound.size; at += 41) cuts.add(at);
      for (const at of cuts) {
        if (at < 0 || at >= sound.size) continue;
        assert.match(await refusal(sound.bytes.subarray(0, at), sound), /is cut off: \d+ of \d+ bytes are missing/);
      }
    });

    it('is refused with bytes behind its end', async () => {
      for (const extra of ['x', '\0', sound.trailer, sound.bytes]) {
        const text = await refusal(Buffer.concat([sound.bytes, Buffer.from(extra)]), sound);
        assert.match(text, /archive.mismatch: the package has bytes behind its end/);
      }
    });

    it('is refused when another size was announced', async () => {
      for (const size of [sound.size - 1, sound.size + 1]) {
        assert.match(await refusal(sound.bytes, sound, { size }), /archive.mismatch: .* \d+ were announced/);
      }
    });

    it('is refused when another header was announced', async () => {
      const headerSha256 = sha256Of('another');
      assert.match(await refusal(sound.bytes, sound, { headerSha256 }), /archive.mismatch: the header .* SHA-256/);
      assert.match(
        await refusal(sound.bytes, sound, { headerSize: sound.headerSize - 1 }),
        /archive.mismatch: the header/,
      );
      assert.match(
        await refusal(sound.bytes, sound, { headerSize: 2 ** 40 }),
        /archive.hostile: the header .* are allowed/,
      );
    });

    it('is refused with the segment of another package', async () => {
      const other = packageAround(encoding, Buffer.concat([TAR, rawFile('binary/svm/c')]), FILES);
      const bytes = Buffer.concat([sound.header, other.bytes.subarray(other.headerSize)]);
      await refusal(bytes, sound);
    });
  });

  describe(`a package that is not what its manifest says (${encoding})`, () => {
    const claim = (title: string, claims: Partial<PackageComponent>, words: RegExp): void => {
      it(title, async () => {
        const files = claims.files ?? FILES;
        const unpackedSize = files.reduce((sum, { size }) => sum + size, 0);
        const bad = packageAround(encoding, TAR, FILES, { unpackedSize, ...claims });
        assert.match(await refusal(bad.bytes, bad), words);
      });
    };
    const [a, b] = FILES;
    assert.ok(a && b);
    claim(
      'an entry that is not in the manifest',
      { files: [a] },
      /mismatch: "binary\/svm\/b" is in the archive but not in/,
    );
    claim(
      'an entry that is missing',
      { files: [...FILES, fileEntry('binary/svm/c')] },
      /mismatch: "binary\/svm\/c" is in the manifest but not in/,
    );
    claim(
      'another mode',
      { files: [{ ...a, mode: 0o755 }, b] },
      /mismatch: "binary\/svm\/a" has the mode 644, the manifest says 755/,
    );
    claim(
      'another size',
      { files: [{ ...a, size: 701 }, b] },
      /mismatch: "binary\/svm\/a" has 700 bytes, the manifest says 701/,
    );
    claim(
      'another digest of a file',
      { files: [a, { ...b, sha256: sha256Of('c') }] },
      /mismatch: "binary\/svm\/b" has the SHA-256/,
    );
    claim(
      'another digest of the tar',
      { contentSha256: sha256Of('x') },
      /mismatch: the segment of svm holds other content/,
    );

    it('another digest of the segment', async () => {
      const bad = packageAround(encoding, TAR, FILES);
      const packed = recompress(encoding, TAR, segment.length);
      assert.notDeepEqual(packed, segment);
      const bytes = Buffer.concat([bad.header, packed, bad.trailer]);
      assert.match(await refusal(bytes, bad), /archive.(mismatch: the segment of svm has the SHA-256|corrupt)/);
    });

    it('a tar that is cut at any kind of place', async () => {
      for (const at of [100, 511, 513, 1023, 1100, 1723, 1725, 2047, 2049, TAR.length - 1]) {
        const tar = TAR.subarray(0, at);
        const bad = packageAround(encoding, tar, FILES);
        assert.match(await refusal(bad.bytes, bad), /archive.corrupt: .*(svm|binary\/svm\/[ab]).* is cut off/);
        const source = piecewise(compressRaw(encoding, tar));
        await assert.rejects(inspectSegment(source, { encoding, name: SVM }), { code: 'archive.corrupt' });
      }
    });
  });

  describe(`a segment that is not one ${encoding === 'gzip' ? 'gzip member' : 'zstd frame'}`, () => {
    const packed = compressRaw(encoding, TAR);
    const cases: [string, Buffer][] = [
      ['nothing', Buffer.alloc(0)],
      ['something else', Buffer.from('this is not compressed at all')],
      ['cut off', packed.subarray(0, -5)],
      ['zeros behind its end', Buffer.concat([packed, Buffer.alloc(20)])],
      ['text behind its end', Buffer.concat([packed, Buffer.from('text')])],
      ['the other compression', compressRaw(encoding === 'gzip' ? 'zstd' : 'gzip', TAR)],
    ];
    if (encoding === 'zstd') {
      const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');
      cases.push(['a second frame', Buffer.concat([packed, compressRaw('zstd', rawFile('binary/svm/c'))])]);
      cases.push(['a skippable frame behind it', Buffer.concat([packed, skippable])]);
      cases.push(['a skippable frame before it', Buffer.concat([skippable, packed])]);
    }
    for (const [title, bytes] of cases) {
      it(`${title} is refused however its chunks fall`, async () => {
        for (const size of [1, 7, packed.length, 100_000]) {
          await assert.rejects(inspectSegment(piecewise(bytes, size), { encoding, name: SVM }), (error) => {
            assert.ok(isLeonoreError(error, 'archive.corrupt'), String(error));
            assert.match(error.message, /the segment of svm/);
            return true;
          });
        }
        if (bytes.length === 0) return;
        const bad = packageAround(encoding, TAR, FILES, {}, bytes);
        assert.match(await refusal(bad.bytes, bad), /archive.corrupt: the segment of svm/);
      });
    }
  });

  describe(`a bomb (${encoding})`, () => {
    const zeros = Buffer.alloc(48 * 2 ** 20);

    it('of one file is refused by its size, before it is unpacked', async () => {
      const head = rawEntry({ name: A, size: `${zeros.length.toString(8).padStart(11, '0')}\0` });
      const tar = Buffer.concat([rawFolder('binary/svm'), head, zeros]);
      const packed = compressRaw(encoding, tar);
      const source = piecewise(packed, 256);
      const limits = { maxUnpackedBytes: 2 ** 20 };
      await assert.rejects(inspectSegment(source, { encoding, name: SVM, limits }), (error) => {
        assert.ok(isLeonoreError(error, 'archive.hostile'), String(error));
        assert.match(error.message, /"binary\/svm\/a" brings the archive to \d+ bytes; 1048576 are allowed/);
        return true;
      });
      const bad = packageAround(encoding, tar, FILES, {}, packed);
      assert.match(
        await refusal(bad.bytes, bad),
        /archive.mismatch: "binary\/svm\/a" has \d+ bytes, the manifest says 700/,
      );
    });

    it('behind the last entry is refused at its first block', async () => {
      const packed = compressRaw(encoding, Buffer.concat([TAR, zeros]));
      const source = piecewise(packed, 256);
      await assert.rejects(inspectSegment(source, { encoding, name: SVM }), { code: 'archive.corrupt' });
    });

    it('is not read on once it is refused', async () => {
      const large = randomBytes(8 * 2 ** 20);
      const head = rawEntry({ name: A, size: `${large.length.toString(8).padStart(11, '0')}\0` });
      const packed = compressRaw(encoding, Buffer.concat([rawFolder('binary/svm'), head, large]));
      const source = piecewise(packed);
      await assert.rejects(inspectSegment(source, { encoding, name: SVM, limits: { maxUnpackedBytes: 2 ** 20 } }), {
        code: 'archive.hostile',
      });
      assert.ok(source.state.closed && source.state.taken < packed.length / 4, `${source.state.taken} bytes were read`);
    });

    it('of entries is refused by their number', async () => {
      const folders = Array.from({ length: 40 }, (_, i) => rawFolder(`binary/svm/${String(i).padStart(2, '0')}`));
      const tar = Buffer.concat([rawFolder('binary/svm'), ...folders]);
      const limits = { maxEntries: 30 };
      await assert.rejects(inspectSegment(piecewise(compressRaw(encoding, tar)), { encoding, name: SVM, limits }), {
        code: 'archive.hostile',
        message: /"binary\/svm\/29" is one entry more than the 30 that are allowed/,
      });
      const bad = packageAround(encoding, tar, []);
      assert.match(await refusal(bad.bytes, bad, { limits }), /archive.hostile: "binary\/svm\/29" is one entry more/);
    });

    it('in the header is refused by its size', async () => {
      const head = rawEntry({ name: 'id', size: '00400000000\0' });
      const header = compressRaw(encoding, Buffer.concat([head, zeros]));
      const announced = { headerSize: header.length, headerSha256: sha256Of(header), encoding };
      await assert.rejects(readPackageHeader(piecewise(header), announced), {
        code: 'archive.hostile',
        message: /"id" brings the header to 67108864 bytes/,
      });
    });

    it('that the manifest announces is refused before anything is unpacked', async () => {
      const bad = packageAround(encoding, TAR, FILES);
      assert.match(
        await refusal(bad.bytes, bad, { limits: { maxUnpackedBytes: 700 } }),
        /archive.hostile: .* are allowed/,
      );
      assert.match(await refusal(bad.bytes, bad, { limits: { maxEntries: 1 } }), /archive.hostile: .* one entry more/);
    });
  });
}

it('a zstd frame that asks for much memory is refused', async () => {
  const params = { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 };
  const packed = zstdCompressSync(TAR, { params });
  // Window_Descriptor (RFC 8878, 3.1.1.1.2): exponent 17 is a window of 128 MiB.
  packed[4] = 0;
  const wide = Buffer.concat([
    packed.subarray(0, 5),
    Buffer.from([17 << 3]),
    packed.subarray(zstdHeaderLength(packed)),
  ]);
  await assert.rejects(inspectSegment(piecewise(wide), { encoding: 'zstd', name: SVM }), {
    code: 'archive.hostile',
    message: /the segment of svm asks for more than 8\.0 MiB/,
  });
});

describe('a header that lies', () => {
  const sound = packageAround('gzip', TAR, FILES);
  const manifest = { ...sound.manifest };
  const header = (files: readonly Buffer[]): { bytes: Buffer; announced: Parameters<typeof readPackageHeader>[1] } => {
    const bytes = gzipSync(Buffer.concat(files));
    return { bytes, announced: { headerSize: bytes.length, headerSha256: sha256Of(bytes), encoding: 'gzip' } };
  };
  const id = rawFile('id', `${manifest.id}\n`);
  const path = rawFile('path', 'svm\t1.0.0\t/opt/svm\n');
  const json = (value: unknown): Buffer =>
    rawFile('manifest.json', typeof value === 'string' ? value : JSON.stringify(value));
  const [component] = manifest.components;
  assert.ok(component);
  const withComponent = (change: Partial<PackageComponent>): Buffer =>
    json({ ...manifest, components: [{ ...component, ...change }] });
  const withFile = (name: string): Buffer => withComponent({ files: [fileEntry(name)], unpackedSize: 1 });

  it('is read when it does not lie', async () => {
    const { bytes, announced } = header([id, path, json(manifest)]);
    assert.deepEqual(await readPackageHeader(piecewise(bytes), announced), manifest);
  });

  const cases: [string, Buffer[], ErrorCode, RegExp][] = [
    ['no manifest', [id, path], 'archive.mismatch', /"manifest.json" is missing/],
    ['nothing', [], 'archive.mismatch', /"id" is missing/],
    ['another order', [path, id, json(manifest)], 'archive.hostile', /"path" is in the header, where the file "id"/],
    [
      'one file more',
      [id, path, json(manifest), rawFile('more')],
      'archive.hostile',
      /"more" is in the header, where nothing more/,
    ],
    ['a folder', [rawFolder('id')], 'archive.hostile', /"id" is in the header/],
    ['an executable', [rawFile('id', 'x', 0o755)], 'archive.hostile', /"id" is in the header/],
    [
      'another id',
      [rawFile('id', 'p-0\n'), path, json(manifest)],
      'archive.mismatch',
      /"id" is not the id in manifest.json/,
    ],
    [
      'another path file',
      [id, rawFile('path', 'svm\t1.0.0\t/\n'), json(manifest)],
      'archive.mismatch',
      /"path" does not list/,
    ],
    ['no JSON', [id, path, json('{')], 'archive.mismatch', /"manifest.json" is not JSON/],
    ['deep JSON', [id, path, json('['.repeat(5_000_000))], 'archive.mismatch', /"manifest.json" is not JSON/],
    [
      'another schema version',
      [id, path, json({ ...manifest, schemaVersion: 2 })],
      'archive.mismatch',
      /schemaVersion/,
    ],
    [
      'another encoding',
      [id, path, json({ ...manifest, encoding: 'zstd' })],
      'archive.mismatch',
      /says that the package is zstd/,
    ],
    [
      'a payload of another size',
      [id, path, json({ ...manifest, payloadSize: 1 })],
      'archive.mismatch',
      /all segments have 1 bytes/,
    ],
    [
      'a segment elsewhere',
      [id, path, withComponent({ segment: { ...component.segment, offset: 9 } })],
      'archive.mismatch',
      /the segment of svm lies at 9/,
    ],
    [
      'another sum',
      [id, path, withComponent({ unpackedSize: 1 })],
      'archive.mismatch',
      /the component svm says it has 1 bytes/,
    ],
    [
      'a component twice',
      [id, path, json({ ...manifest, components: [component, component] })],
      'archive.mismatch',
      /"path" does not|svm is there twice/,
    ],
    [
      'a file that leads out',
      [id, path, withFile('binary/svm/../../x')],
      'archive.hostile',
      /"binary\/svm\/\.\.\/\.\.\/x" has/,
    ],
    ['a file of others', [id, path, withFile('binary/other/x')], 'archive.hostile', /"binary\/other\/x" lies outside/],
    ['a file with NUL', [id, path, withFile('binary/svm/x\0')], 'archive.hostile', /NUL/],
    [
      'a file twice',
      [id, path, withComponent({ files: [fileEntry(A), fileEntry(A)], unpackedSize: 2 })],
      'archive.hostile',
      /"binary\/svm\/a" is there twice/,
    ],
    [
      'files that differ in case',
      [id, path, withComponent({ files: [fileEntry(A), fileEntry('binary/svm/A')], unpackedSize: 2 })],
      'archive.hostile',
      /only in upper and lower case/,
    ],
    [
      'a set-user-id mode',
      [id, path, withComponent({ files: [{ ...fileEntry(A), mode: 0o4755 as 0o755 }], unpackedSize: 1 })],
      'archive.mismatch',
      /components\.0\.files\.0\.mode/,
    ],
    [
      'a negative size',
      [id, path, withComponent({ files: [{ ...fileEntry(A), size: -1 }], unpackedSize: -1 })],
      'archive.mismatch',
      /components\.0\.files\.0\.size/,
    ],
    [
      'an install path with a line break',
      [id, rawFile('path', 'svm\t1.0.0\t/opt\nx\n'), withComponent({ installPath: '/opt\nx' })],
      'archive.mismatch',
      /components\.0\.installPath/,
    ],
  ];
  for (const [title, files, code, words] of cases) {
    it(`${title} is refused`, async () => {
      const { bytes, announced } = header(files);
      await assert.rejects(readPackageHeader(piecewise(bytes), announced), (error) => {
        assert.ok(isLeonoreError(error, code), String(error));
        assert.match(error.message, words);
        return true;
      });
    });
  }
});

describe('findHeader', () => {
  const gzip = packageAround('gzip', TAR, FILES);
  const zstd = packageAround('zstd', TAR, FILES);
  const cases: [string, Buffer, ErrorCode, RegExp][] = [
    ['an empty file', Buffer.alloc(0), 'archive.mismatch', /is no package/],
    ['a text', Buffer.from('hello'), 'archive.mismatch', /is no package/],
    ['any other .gz', gzipSync('hello'), 'archive.mismatch', /does not tell its length/],
    ['a gzip package cut in its header', gzip.bytes.subarray(0, gzip.headerSize - 1), 'archive.corrupt', /is cut off/],
    ['a zstd package cut in its header', zstd.bytes.subarray(0, zstd.headerSize - 1), 'archive.corrupt', /is cut off/],
    [
      'a gzip header of 4 GiB',
      Buffer.from('1f8b08040000000000ff08004c4e0400ffffffff00', 'hex'),
      'archive.mismatch',
      /has a header of 4294967295 bytes/,
    ],
  ];
  for (const [title, bytes, code, words] of cases) {
    it(`refuses ${title}`, async () => {
      const file = join(await folder(), 'package');
      await writeFile(file, bytes);
      await assert.rejects(findHeader(file), (error) => {
        assert.ok(isLeonoreError(error, code), String(error));
        assert.match(error.message, words);
        assert.ok(error.message.includes(file));
        return true;
      });
    });
  }
});

it('a package file that is not there is an error and no crash', async () => {
  const dir = await folder();
  const sound = packageAround('gzip', TAR, FILES);
  const missing = join(dir, 'missing');
  await assert.rejects(unpackPackage(createReadStream(missing), { ...sound, into: join(dir, 'x') }), {
    code: 'ENOENT',
  });
  await assert.rejects(access(join(dir, 'x')), { code: 'ENOENT' });
  await assert.rejects(unpackPackage(createReadStream(missing), { ...sound, into: dir }), { code: 'config.invalid' });
  await assert.rejects(inspectSegment(createReadStream(missing), { encoding: 'gzip', name: SVM }), { code: 'ENOENT' });
});

/** The same content in other bytes, of the same length where that can be had. */
function recompress(encoding: Encoding, tar: Buffer, length: number): Buffer {
  const packed =
    encoding === 'gzip'
      ? gzipSync(tar)
      : zstdCompressSync(tar, { params: { [constants.ZSTD_c_compressionLevel]: 19 } });
  // gzip's header has a field for the time, which changes no content.
  if (encoding === 'gzip') packed.writeUInt32LE(1, 4);
  return Buffer.concat([packed, Buffer.alloc(Math.max(0, length - packed.length))]).subarray(0, length);
}

function zstdHeaderLength(frame: Buffer): number {
  for (let at = 5; at < frame.length - 3; at++) {
    const block = frame.readUIntLE(at, 3);
    if ((block & 1) === 1 && at + 3 + (block >> 3) === frame.length) return at;
  }
  throw new Error('no single block found');
}
