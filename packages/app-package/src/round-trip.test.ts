import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ENCODINGS, type Encoding } from '@leonore/protocol';
import fc from 'fast-check';
import { findHeader, inspectSegment, packArtifact, readPackageHeader, unpackPackage } from './mod.ts';
import { assemble, inputOf, piecewise, SVM } from './testing/packages.ts';
import { run, skipWithout } from './testing/tools.ts';
import { brief, describeTree, expectedLines, packableTree, testFolder, type Tree, writeTree } from './testing/trees.ts';

const folder = testFolder();

async function writeArtifact(dir: string, tree: Tree): Promise<void> {
  await writeTree(join(dir, 'binary'), tree);
  await mkdir(join(dir, 'control'));
  await writeFile(join(dir, 'control', 'start'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(dir, 'leonore.yaml'), 'name: svm\nversion: 1.0.0\nrun: {}\n');
}

/** What lies in a folder that the package of `tree` was unpacked to, but for the header's files. */
function expectedPackage(tree: Tree): string[] {
  return [
    'folder 755 binary',
    'folder 755 binary/svm',
    'folder 755 control',
    'folder 755 control/svm',
    `file 755 control/svm/start ${brief(Buffer.from('#!/bin/sh\n'))}`,
    ...expectedLines(tree, 'binary/svm/'),
  ].toSorted();
}

async function composeTree(tree: Tree, encoding: Encoding) {
  const dir = await folder();
  await writeArtifact(join(dir, 'artifact'), tree);
  const packed = await packArtifact(join(dir, 'artifact'), { outDir: join(dir, 'out'), encodings: [encoding] });
  const [segment] = packed.segments;
  assert.ok(segment);
  const composed = assemble(inputOf(packed, encoding), [await readFile(segment.file)]);
  return { dir, packed, segment, composed };
}

function isHeaderFile(line: string): boolean {
  return /^file 644 (id|path|manifest\.json) /.test(line);
}

describe('pack, compose, unpack', () => {
  for (const encoding of ENCODINGS) {
    it(`gives the same tree (${encoding})`, async () => {
      const pieces = fc.integer({ min: 1, max: 5000 });
      await fc.assert(
        fc.asyncProperty(packableTree, pieces, async (tree, pieceSize) => {
          const { dir, packed, segment, composed } = await composeTree(tree, encoding);
          const into = join(dir, 'unpacked');
          const manifest = await unpackPackage(piecewise(composed.bytes, pieceSize), {
            ...composed,
            into,
            durable: false,
          });
          assert.deepEqual(manifest, composed.manifest);
          const lines = await describeTree(into);
          assert.deepEqual(
            lines.filter((line) => !isHeaderFile(line)),
            expectedPackage(tree),
          );
          assert.equal(lines.filter(isHeaderFile).length, 3);

          const contents = await inspectSegment(createReadStream(segment.file), { encoding, name: SVM });
          assert.deepEqual(contents, {
            contentSha256: packed.contentSha256,
            files: packed.files,
            unpackedSize: packed.unpackedSize,
          });
        }),
        { numRuns: 40 },
      );
    });

    it(`finds and reads the header in a package file (${encoding})`, async () => {
      const tree: Tree = new Map([['a', { content: Buffer.from('a'), executable: false }]]);
      const { dir, composed } = await composeTree(tree, encoding);
      const file = join(dir, 'package');
      await writeFile(file, composed.bytes);
      const place = await findHeader(file);
      assert.deepEqual(place, { encoding, headerSize: composed.headerSize, headerSha256: composed.headerSha256 });
      assert.deepEqual(await readPackageHeader(createReadStream(file), place), composed.manifest);
      const into = join(dir, 'durable');
      await unpackPackage(createReadStream(file), { ...place, into, size: composed.size });
      assert.equal(await readFile(join(into, 'path'), 'utf8'), 'svm\t1.0.0\t/opt/svm\n');
      assert.equal(await readFile(join(into, 'id'), 'utf8'), `${composed.manifest.id}\n`);
      assert.deepEqual(JSON.parse(await readFile(join(into, 'manifest.json'), 'utf8')), composed.manifest);
    });
  }
});

describe('other tars unpack a package to the same tree', () => {
  const long = `${'deep/'.repeat(10)}${'n'.repeat(200)}`;
  const file = (text: string, executable = false) => ({ content: Buffer.from(text), executable });
  const nasty: Tree = new Map([
    ['empty folder', null],
    ['empty file', file('')],
    ['-rf', file('a name like an option')],
    ['ünïcödé 漢字', file('utf-8', true)],
    ['exactly a block', file('b'.repeat(512))],
    ['large', file('l'.repeat(300_000))],
    ...long
      .split('/')
      .map((_, i, parts): [string, null] => [parts.slice(0, i).join('/'), null])
      .slice(1),
    [long, file('a path that needs a PAX record', true)],
    ['prefix', null],
    [`prefix/${'p'.repeat(95)}`, file('a path that needs the prefix field')],
    ['q'.repeat(180), null],
    [`${'q'.repeat(180)}/inside`, file('a folder whose path needs a PAX record')],
  ]);
  const cases = [
    { encoding: 'gzip', by: 'GNU tar', command: 'tar', args: ['-xzpf'], skip: skipWithout('tar', 'tar') },
    {
      encoding: 'gzip',
      by: 'busybox tar',
      command: 'busybox',
      args: ['tar', '-xzpf'],
      skip: skipWithout('busybox', 'busybox'),
    },
    {
      encoding: 'zstd',
      by: 'GNU tar',
      command: 'tar',
      args: ['--zstd', '-xpf'],
      skip: skipWithout('tar', 'tar') || skipWithout('zstd', 'zstd'),
    },
  ] as const;
  for (const { encoding, by, command, args, skip } of cases) {
    it(`${by}, ${encoding}`, { skip }, async () => {
      const { dir, composed } = await composeTree(nasty, encoding);
      const file = join(dir, 'package');
      await writeFile(file, composed.bytes);
      const theirs = join(dir, 'theirs');
      await mkdir(theirs);
      run(command, [...args, file, '-C', theirs]);
      const ours = join(dir, 'ours');
      await unpackPackage(createReadStream(file), { ...composed, into: ours, durable: false });
      assert.deepEqual(await describeTree(theirs), await describeTree(ours));
      assert.deepEqual(
        (await describeTree(ours)).filter((line) => !isHeaderFile(line)),
        expectedPackage(nasty),
      );
    });
  }

  it('GNU tar and zstd, several components', {
    skip: skipWithout('tar', 'tar') || skipWithout('zstd', 'zstd'),
  }, async () => {
    for (const encoding of ENCODINGS) {
      const dir = await folder();
      const segments: Buffer[] = [];
      const inputs = [];
      for (const name of ['runtime', 'application']) {
        await writeTree(join(dir, name, 'binary'), new Map([['file', file(name)]]));
        await writeFile(join(dir, name, 'leonore.yaml'), `name: ${name}\nversion: 1.0.0\n`);
        const packed = await packArtifact(join(dir, name), { outDir: join(dir, 'out'), encodings: [encoding] });
        segments.push(await readFile(packed.segments[0]?.file ?? ''));
        inputs.push(inputOf(packed, encoding));
      }
      const [first, second] = inputs;
      assert.ok(first && second);
      const composed = assemble({ ...first, components: [...first.components, ...second.components] }, segments);
      const file1 = join(dir, `package.${encoding}`);
      await writeFile(file1, composed.bytes);
      await mkdir(join(dir, `theirs-${encoding}`));
      run('tar', [encoding === 'gzip' ? '-z' : '--zstd', '-xpf', file1, '-C', join(dir, `theirs-${encoding}`)]);
      const ours = join(dir, `ours-${encoding}`);
      await unpackPackage(createReadStream(file1), { ...composed, into: ours, durable: false });
      // No component has control scripts; unpackPackage makes the folder all the same.
      const lines = (await describeTree(ours)).filter((line) => line !== 'folder 755 control');
      assert.deepEqual(await describeTree(join(dir, `theirs-${encoding}`)), lines);
      assert.equal(
        await readFile(join(ours, 'path'), 'utf8'),
        'runtime\t1.0.0\t/opt/svm\napplication\t1.0.0\t/opt/svm\n',
      );
    }
  });
});
