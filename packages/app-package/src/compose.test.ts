import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { ENCODINGS, isLeonoreError, type Segment } from '@leonore/protocol';
import { composePackage, packageIdOf, readPackageHeader } from './mod.ts';
import { packageInput, piecewise } from './testing/packages.ts';
import { fileEntry, sha256Of } from './testing/raw-tar.ts';

const gzip: Segment = { encoding: 'gzip', sha256: sha256Of('segment'), size: 1234 };
const component = { contentSha256: sha256Of('tar'), files: [fileEntry('binary/svm/a')], unpackedSize: 1 };
const input = packageInput('gzip', gzip, component);

/** The same value with the keys of every object the other way round. */
function reversedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversedKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversedKeys(member)]),
  );
}

describe('packageIdOf', () => {
  it('is the same for the same input, however its keys stand', () => {
    const id = packageIdOf(input);
    assert.match(id, /^p-[0-9a-f]{32}$/);
    assert.equal(packageIdOf(reversedKeys(input) as typeof input), id);
    assert.equal(packageIdOf({ ...input, id: 'p-0' }), id);
  });

  it('is another for every difference', () => {
    const [first] = input.components;
    assert.ok(first);
    const others = [
      input,
      { ...input, keep: [{ name: first.name, version: '1.0.0', requested: true, after: [] }] },
      { ...input, remove: [{ name: first.name, version: '1.0.0' }] },
      { ...input, gatewayClass: { ...input.gatewayClass, id: 'x' } },
      ...[
        { version: '1.0.1' },
        { requested: false },
        { action: 'update' as const, replaces: '0.9.0' },
        { installPath: '/opt/other' },
        { contentSha256: sha256Of('other') },
        { segment: { ...gzip, sha256: sha256Of('other') } },
        {
          run: {
            restart: 'always' as const,
            healthTimeoutSeconds: 30,
            healthIntervalSeconds: 30,
            stopTimeoutSeconds: 10,
            env: {},
          },
        },
      ].map((change) => ({ ...input, components: [{ ...first, ...change }] })),
    ];
    const ids = others.map((other) => packageIdOf(other));
    assert.equal(new Set(ids).size, ids.length);
  });
});

describe('composePackage', () => {
  const id = packageIdOf(input);

  it('gives the same bytes for the same input', () => {
    const one = composePackage({ id, ...input });
    const two = composePackage(reversedKeys({ ...input, id }) as typeof input & { id: typeof id });
    assert.deepEqual(one.header, two.header);
    assert.equal(one.headerSha256, sha256Of(one.header));
  });

  it('places segments one after another and counts every byte', () => {
    const [first] = input.components;
    assert.ok(first);
    const second = {
      ...first,
      name: 'other' as typeof first.name,
      files: [],
      unpackedSize: 0,
      segment: { ...gzip, size: 7 },
    };
    const composed = composePackage({ id, ...input, components: [first, second] });
    assert.deepEqual(
      composed.manifest.components.map(({ segment }) => segment),
      [
        { offset: 0, length: 1234, sha256: gzip.sha256 },
        { offset: 1234, length: 7, sha256: gzip.sha256 },
      ],
    );
    assert.equal(composed.manifest.payloadSize, 1241);
    assert.equal(composed.size, composed.header.length + 1241 + composed.trailer.length);
  });

  for (const encoding of ENCODINGS) {
    it(`ends with a tar's end (${encoding})`, () => {
      const { trailer } = composePackage({ id, ...input, components: [], encoding });
      assert.deepEqual((encoding === 'gzip' ? gunzipSync : zstdDecompressSync)(trailer), Buffer.alloc(1024));
    });

    it(`makes a package that only removes (${encoding})`, async () => {
      const [first] = input.components;
      assert.ok(first);
      const remove = [{ name: first.name, version: '1.0.0' }];
      const composed = composePackage({ id, ...input, encoding, components: [], remove });
      const place = { encoding, headerSize: composed.header.length, headerSha256: composed.headerSha256 };
      const manifest = await readPackageHeader(piecewise(composed.header, 3), place);
      assert.deepEqual(manifest, composed.manifest);
      assert.deepEqual(manifest.remove, remove);
    });
  }

  it('refuses parts that do not fit together', () => {
    const [first] = input.components;
    assert.ok(first);
    const wrong: [Partial<typeof first>, RegExp][] = [
      [{ segment: { ...gzip, encoding: 'zstd' } }, /the segment of svm is zstd, the package gzip/],
      [{ unpackedSize: 2 }, /the component svm says it has 2 bytes unpacked/],
      [{ files: [fileEntry('binary/other/a')] }, /"binary\/other\/a" lies outside/],
    ];
    for (const [change, words] of wrong) {
      assert.throws(
        () => composePackage({ id, ...input, components: [{ ...first, ...change }] }),
        (error) => isLeonoreError(error) && words.test(error.message),
      );
    }
    assert.throws(
      () => composePackage({ id, ...input, components: [first, first] }),
      /the component svm is there twice/,
    );
  });
});
