import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { packageDiffSchema, type PackageComponent } from '@leonore/protocol';
import fc from 'fast-check';
import type { DeltaPair } from '../repositories/mod.ts';
import { diffPackages } from './diff.ts';
import { describe as packageOf, describedPackage, sha } from './testing/contents.ts';

const noDelta = () => Promise.resolve(undefined);
/** Every pair has one, sometimes larger than the segment. */
const everyDelta = ({ from, to }: DeltaPair) =>
  Promise.resolve(1 + (Number.parseInt((from + to).slice(62, 66), 16) % 12_000));

const file = (path: string, text: string, mode: 0o755 | 0o644 = 0o644) => {
  return { path, mode, size: text.length, sha256: sha(text) };
};

function component(name: string, version: string, files: ReturnType<typeof file>[], length = 1000) {
  const contentSha256 = sha(`${name} ${JSON.stringify(files)}`);
  const segment = { offset: 0, length, sha256: sha(`packed ${contentSha256}`) };
  const unpackedSize = files.reduce((sum, { size }) => sum + size, 0);
  return { name, version, action: 'install', requested: true, after: [], contentSha256, segment, files, unpackedSize };
}

describe('the difference of two packages', () => {
  it('says what came, went, changed, was rebuilt and stayed, with files and bytes', async () => {
    const from = packageOf([
      component('svm', '1.0.0', [
        file('binary/svm/svm', 'old'),
        file('binary/svm/doc', 'gone'),
        file('binary/svm/kits', 'k'),
      ]),
      component('ui', '2.0.0', [file('binary/ui/app', 'a')]),
      component('log', '1.0.0', [file('binary/log/log', 'l')]),
      component('jvm', '17.0.0', [file('binary/jvm/java', 'j')]),
    ]);
    const to = packageOf([
      component('svm', '1.1.0', [
        file('binary/svm/svm', 'newer'),
        file('binary/svm/kits', 'k'),
        file('binary/svm/x', ''),
      ]),
      component('ui', '2.0.0', [file('binary/ui/app', 'b')], 500),
      component('log', '1.0.0', [file('binary/log/log', 'l')], 300),
      component('modbus', '3.0.0', [file('binary/modbus/m', 'mm')], 40),
    ]);
    const asked: DeltaPair[] = [];
    const diff = await diffPackages(from, to, (pair) => {
      asked.push(pair);
      return Promise.resolve(600);
    });
    assert.deepEqual(diff, {
      from: from.summary.id,
      to: to.summary.id,
      components: [
        {
          name: 'svm',
          change: 'updated',
          from: '1.0.0',
          to: '1.1.0',
          files: [
            { path: 'binary/svm/doc', from: 4 },
            { path: 'binary/svm/svm', from: 3, to: 5 },
            { path: 'binary/svm/x', to: 0 },
          ],
          bytes: { full: 1000, delta: 600 },
        },
        // Its delta is no smaller than what it would spare.
        {
          name: 'ui',
          change: 'rebuilt',
          from: '2.0.0',
          to: '2.0.0',
          files: [{ path: 'binary/ui/app', from: 1, to: 1 }],
          bytes: { full: 500 },
        },
        { name: 'log', change: 'same', from: '1.0.0', to: '1.0.0', files: [], bytes: { full: 300, delta: 0 } },
        {
          name: 'modbus',
          change: 'added',
          to: '3.0.0',
          files: [{ path: 'binary/modbus/m', to: 2 }],
          bytes: { full: 40 },
        },
        {
          name: 'jvm',
          change: 'removed',
          from: '17.0.0',
          files: [{ path: 'binary/jvm/java', from: 1 }],
          bytes: { full: 0 },
        },
      ],
      bytes: { full: to.summary.size, least: to.summary.size - 400 - 300 },
    });
    const pairs = from.manifest.components.slice(0, 2).map(({ contentSha256 }, index) => {
      return { from: contentSha256, to: to.manifest.components[index]?.contentSha256 };
    });
    assert.deepEqual(asked, pairs);
  });

  it('takes a mode that changed for a changed file', async () => {
    const from = packageOf([component('svm', '1.0.0', [file('a', 'x')])]);
    const to = packageOf([component('svm', '1.0.0', [file('a', 'x', 0o755)])]);
    const [svm] = (await diffPackages(from, to, noDelta)).components;
    assert.equal(svm?.change, 'rebuilt');
    assert.deepEqual(svm?.files, [{ path: 'a', from: 1, to: 1 }]);
  });

  it('says of what is kept no more than its version', async () => {
    const from = packageOf([], 'tar.zst', '', [{ name: 'svm', version: '1.0.0', requested: true, after: [] }]);
    const to = packageOf([component('svm', '1.1.0', [file('a', 'x')])]);
    const asked = () => assert.fail('there is no build to start from');
    const there = await diffPackages(from, to, asked);
    assert.deepEqual(there.components, [
      { name: 'svm', change: 'updated', from: '1.0.0', to: '1.1.0', files: [], bytes: { full: 1000 } },
    ]);
    const back = await diffPackages(to, from, asked);
    assert.deepEqual(back.components, [
      { name: 'svm', change: 'updated', from: '1.1.0', to: '1.0.0', files: [], bytes: { full: 0 } },
    ]);
  });

  it('counts an image and an update of SWUpdate whole', async () => {
    for (const format of ['swu', 'image'] as const) {
      const one = packageOf([component('os', '1.0.0', [file('a', 'x')])], format);
      const { bytes } = await diffPackages(one, one, noDelta);
      assert.deepEqual(bytes, { full: one.summary.size, least: one.summary.size });
    }
  });

  it('of a package and itself is nothing', () =>
    fc.assert(
      fc.asyncProperty(describedPackage, async (one) => {
        const { components, bytes } = await diffPackages(one, one, () => assert.fail('no delta is needed'));
        assert.ok(components.every(({ change, files }) => change === 'same' && files.length === 0));
        const isArchive = one.summary.format.startsWith('tar.');
        assert.equal(bytes.least, isArchive ? one.summary.headerSize : one.summary.size);
      }),
    ));

  it('names exactly the files that differ, and never more bytes than the whole package has', () =>
    fc.assert(
      fc.asyncProperty(describedPackage, describedPackage, async (from, to) => {
        const diff = packageDiffSchema.parse(await diffPackages(from, to, everyDelta));
        assert.ok(diff.bytes.least <= diff.bytes.full && diff.bytes.least >= to.summary.headerSize);
        assert.equal(diff.bytes.full, to.summary.size);
        const names = new Set([...componentNames(from), ...componentNames(to)]);
        assert.deepEqual(new Set(diff.components.map(({ name }) => name)), names);
        assert.equal(diff.components.length, names.size);
        for (const { name, change, files } of diff.components) {
          const [before, after] = [filesOf(from, name), filesOf(to, name)];
          if (!before || !after) {
            assert.deepEqual(files, []);
            continue;
          }
          const differing = [...before, ...after].filter(
            (entry) => !(before.some((one) => isEqual(one, entry)) && after.some((one) => isEqual(one, entry))),
          );
          const expected = [...new Set(differing.map(({ path }) => path))].toSorted();
          assert.deepEqual(
            files.map(({ path }) => path),
            expected,
          );
          for (const { path, from: was, to: is } of files) {
            assert.equal(was, before.find((one) => one.path === path)?.size);
            assert.equal(is, after.find((one) => one.path === path)?.size);
          }
          if (change === 'same') assert.deepEqual(files, []);
        }
      }),
    ));
});

type Package = ReturnType<typeof packageOf>;
type Files = PackageComponent['files'];

const componentNames = ({ manifest: { components, keep } }: Package) =>
  [...components, ...keep].map(({ name }) => name);

/** None of what is not there; undefined of what is kept. */
function filesOf({ manifest: { components, keep } }: Package, name: string): Files | undefined {
  if (keep.some((one) => one.name === name)) return undefined;
  return components.find((one) => one.name === name)?.files ?? [];
}

function isEqual(a: Files[number], b: Files[number]): boolean {
  return a.path === b.path && a.sha256 === b.sha256 && a.mode === b.mode;
}
