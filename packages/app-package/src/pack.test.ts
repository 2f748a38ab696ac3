import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, link, mkdir, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { isLeonoreError, type ErrorCode, type LeonoreError } from '@leonore/protocol';
import fc from 'fast-check';
import { inspectSegment, packArtifact, type PackedArtifact } from './mod.ts';
import { SVM } from './testing/packages.ts';
import { run, skipWithout } from './testing/tools.ts';
import { packableTree, testFolder, type Tree, writeTree } from './testing/trees.ts';

const folder = testFolder();
const file = (text: string, executable = false) => ({ content: Buffer.from(text), executable });

/** The tree that the golden digests are of. */
const FIXED: Tree = new Map([
  ['binary', null],
  ['binary/bin', null],
  ['binary/bin/svm', file('#!/bin/sh\necho svm\n', true)],
  ['binary/README', file('read me\n')],
  ['binary/a b', file('')],
  ['binary/ümlaut', file('u')],
  ['binary/empty', null],
  [`binary/${'d'.repeat(90)}`, null],
  [`binary/${'d'.repeat(90)}/prefix`, file('p')],
  [`binary/${'x'.repeat(160)}`, file('x')],
  ['control', null],
  ['control/start', file('#!/bin/sh\nexec bin/svm\n', true)],
]);
/** SHA-256 of the tar of FIXED. Whoever changes it makes every published build another one. */
const GOLDEN = 'd26cad0f1b8c99c8feaa859ee1c36c4c756624e3bec1ba859706e106727041f9';

async function artifact(
  tree: Iterable<[string, Tree extends ReadonlyMap<string, infer V> ? V : never]>,
  yaml = '',
): Promise<string> {
  const dir = await folder();
  await writeTree(dir, tree);
  await writeFile(join(dir, 'leonore.yaml'), `name: svm\nversion: 1.0.0\n${yaml}`);
  return dir;
}

async function pack(dir: string): Promise<PackedArtifact> {
  return packArtifact(dir, { outDir: join(dir, 'out') });
}

async function segmentBytes(packed: PackedArtifact): Promise<Buffer[]> {
  return Promise.all(packed.segments.map((segment) => readFile(segment.file)));
}

async function refusal(dir: string): Promise<LeonoreError> {
  const error: unknown = await pack(dir).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(isLeonoreError(error), String(error));
  assert.deepEqual(await readdir(join(dir, 'out')).catch(() => []), []);
  return error;
}

describe('packArtifact', () => {
  it('tells what it made', async () => {
    const packed = await pack(await artifact(FIXED, 'platform: { os: linux, arch: arm64 }\n'));
    assert.deepEqual(
      packed.segments.map(({ encoding, file: path }) => [encoding, path.replace(/.*\//, '')]),
      [
        ['gzip', 'svm-1.0.0-linux-arm64-any.tar.gz'],
        ['zstd', 'svm-1.0.0-linux-arm64-any.tar.zst'],
      ],
    );
    for (const [index, bytes] of (await segmentBytes(packed)).entries()) {
      const segment = packed.segments[index];
      assert.equal(segment?.size, bytes.length);
      assert.equal(segment?.sha256, createHash('sha256').update(bytes).digest('hex'));
    }
    const start = packed.files.find(({ path }) => path === 'control/svm/start');
    assert.equal(start?.mode, 0o755);
    assert.equal(start?.sha256, createHash('sha256').update('#!/bin/sh\nexec bin/svm\n').digest('hex'));
    assert.equal(
      packed.unpackedSize,
      packed.files.reduce((sum, { size }) => sum + size, 0),
    );
    assert.deepEqual((await readdir(join(packed.segments[0]?.file ?? '', '..'))).length, 2);
  });

  it('has the golden digest, in both segments', async () => {
    const packed = await pack(await artifact(FIXED));
    const [gzip, zstd] = await segmentBytes(packed);
    assert.ok(gzip && zstd);
    for (const tar of [gunzipSync(gzip), zstdDecompressSync(zstd)]) {
      assert.equal(createHash('sha256').update(tar).digest('hex'), GOLDEN);
    }
    assert.equal(packed.contentSha256, GOLDEN);
    // MTIME 0, XFL 2 (slowest), OS 255 (unknown), no name.
    assert.equal(gzip.subarray(0, 10).toString('hex'), '1f8b08000000000002ff');
  });

  it('writes what GNU tar writes', { skip: skipWithout('tar', 'tar') }, async () => {
    const names = ['binary/README', 'binary/bin/svm', 'binary/plain', 'control/start'];
    const dir = await artifact(names.map((name) => [name, file(name, name.endsWith('s'))]));
    await chmod(join(dir, 'control/start'), 0o755);
    const packed = await packArtifact(dir, { outDir: join(dir, 'out'), encodings: ['gzip'] });
    const ours = gunzipSync(await readFile(packed.segments[0]?.file ?? ''));
    const options = '--format=ustar --numeric-owner --owner=0 --group=0 --mtime=@0 --no-recursion --blocking-factor=1';
    const entries = [
      'binary/',
      'binary/README',
      'binary/bin/',
      'binary/bin/svm',
      'binary/plain',
      'control/',
      'control/start',
    ];
    const transform = ['--transform=s,^binary,binary/svm,', '--transform=s,^control,control/svm,'];
    for (const folderName of ['binary', 'binary/bin', 'control']) await chmod(join(dir, folderName), 0o755);
    run('tar', ['-cf', join(dir, 'gnu.tar'), '-C', dir, ...options.split(' '), ...transform, ...entries]);
    const theirs = await readFile(join(dir, 'gnu.tar'));
    assert.deepEqual(ours, theirs.subarray(0, -1024));
  });

  it('gives the same bytes in another folder, order, time, and mode of others', async () => {
    await fc.assert(
      fc.asyncProperty(packableTree, fc.integer({ min: 1, max: 2 ** 31 }), async (tree, time) => {
        const nodes: [string, Tree extends ReadonlyMap<string, infer V> ? V : never][] = [...tree].map(
          ([path, node]) => [`binary/${path}`, node],
        );
        const one = await artifact([['binary', null], ...nodes]);
        const two = await artifact([['binary', null], ...nodes.toReversed()]);
        for (const [path, node] of nodes) {
          await chmod(join(two, path), node?.executable === false ? 0o664 : 0o777);
          await utimes(join(two, path), time, time);
        }
        assert.deepEqual(await segmentBytes(await pack(one)), await segmentBytes(await pack(two)));
      }),
      { numRuns: 15 },
    );
  });

  it('gives other content for another byte, name, mode or empty folder', async () => {
    const base: Tree = new Map([['binary/a', file('a')]]);
    const others: Tree[] = [
      new Map([['binary/a', file('b')]]),
      new Map([['binary/b', file('a')]]),
      new Map([['binary/a', file('a', true)]]),
      new Map([...base, ['binary/empty', null]]),
    ];
    const digests = await Promise.all(
      [base, ...others].map(async (tree) => (await pack(await artifact(tree))).contentSha256),
    );
    assert.equal(new Set(digests).size, digests.length);
  });

  it('makes one encoding when one is asked for, and overwrites what a run before it wrote', async () => {
    const dir = await artifact(FIXED);
    const first = await packArtifact(dir, { outDir: join(dir, 'out'), encodings: ['zstd'] });
    assert.deepEqual(
      first.segments.map(({ encoding }) => encoding),
      ['zstd'],
    );
    const again = await packArtifact(dir, { outDir: join(dir, 'out'), encodings: ['zstd'] });
    assert.deepEqual(again, first);
    assert.deepEqual(await readdir(join(dir, 'out')), ['svm-1.0.0-any-any-any.tar.zst']);
  });

  it('packs a large sparse file', async () => {
    const dir = await artifact([['binary/large', file('x')]]);
    await truncate(join(dir, 'binary/large'), 50_000_001);
    const packed = await packArtifact(dir, { outDir: join(dir, 'out'), encodings: ['zstd'] });
    const [segment] = packed.segments;
    const contents = await inspectSegment(createReadStream(segment?.file ?? ''), { encoding: 'zstd', name: SVM });
    assert.equal(contents.unpackedSize, 50_000_001);
    assert.equal(contents.contentSha256, packed.contentSha256);
  });

  it('takes hard links for the files they are, and ignores what lies beside', async () => {
    const dir = await artifact([
      ['binary/a', file('a')],
      ['src/ignored', file('')],
    ]);
    await link(join(dir, 'binary/a'), join(dir, 'binary/b'));
    const { files } = await pack(dir);
    assert.deepEqual(
      files.map(({ path }) => path),
      ['binary/svm/a', 'binary/svm/b'],
    );
  });

  it('stops when it is told to', async () => {
    const dir = await artifact(FIXED);
    await assert.rejects(packArtifact(dir, { outDir: join(dir, 'out'), signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    assert.deepEqual(await readdir(join(dir, 'out')), []);
  });
});

describe('packArtifact refuses', () => {
  const prepared: [title: string, prepare: (dir: string) => Promise<unknown>, code: ErrorCode, words: RegExp][] = [
    [
      'a symbolic link',
      (dir) => symlink('libx.so.1', join(dir, 'binary/libx.so')),
      'archive.hostile',
      /"binary\/libx\.so" is a symbolic link to "libx\.so\.1"; .*cp -L.*control\/install/,
    ],
    [
      'a symbolic link to a folder',
      (dir) => symlink('/etc', join(dir, 'binary/etc')),
      'archive.hostile',
      /"binary\/etc" is a symbolic link to "\/etc"/,
    ],
    [
      'binary/ as a link',
      async (dir) => {
        await rm(join(dir, 'binary'), { recursive: true });
        await symlink('/tmp', join(dir, 'binary'));
      },
      'archive.hostile',
      /"binary" is a symbolic link/,
    ],
    [
      'binary as a file',
      async (dir) => {
        await rm(join(dir, 'binary'), { recursive: true });
        await writeFile(join(dir, 'binary'), '');
      },
      'archive.hostile',
      /"binary" is a file; it must be a folder/,
    ],
    [
      'a FIFO',
      (dir) => Promise.resolve(run('mkfifo', [join(dir, 'binary/pipe')])),
      'archive.hostile',
      /"binary\/pipe" is a FIFO/,
    ],
    [
      'names that differ in case only',
      async (dir) => {
        await writeFile(join(dir, 'binary/README'), '');
        await writeFile(join(dir, 'binary/readme'), '');
      },
      'archive.hostile',
      /differs from ".*" only in upper and lower case; rename one/,
    ],
    [
      'a line break in a name',
      (dir) => writeFile(join(dir, 'binary/a\nb'), ''),
      'archive.hostile',
      /"binary\/a\\nb" has a control character in its name; give it another name/,
    ],
    [
      'a name that is not UTF-8',
      (dir) => writeFile(Buffer.concat([Buffer.from(`${dir}/binary/`), Buffer.from([0xe4])]), ''),
      'archive.hostile',
      /not UTF-8|in UTF-8/,
    ],
    [
      'a file too large for tar',
      async (dir) => {
        await writeFile(join(dir, 'binary/huge'), '');
        await truncate(join(dir, 'binary/huge'), 8 ** 11);
      },
      'archive.hostile',
      /"binary\/huge" has 8589934592 bytes; .* split it/,
    ],
    [
      'an unknown control script',
      (dir) => writeFile(join(dir, 'control/strat'), '', { mode: 0o755 }),
      'archive.mismatch',
      /"control\/strat" is no control script; they are install, start, stop, health, uninstall/,
    ],
    [
      'a folder in control/',
      (dir) => mkdir(join(dir, 'control/lib')),
      'archive.mismatch',
      /"control\/lib" is no control script/,
    ],
    [
      'a control script that is not executable',
      (dir) => chmod(join(dir, 'control/start'), 0o644),
      'archive.mismatch',
      /"control\/start" is not executable; make it so with chmod \+x/,
    ],
    [
      'run without control/start',
      (dir) => rm(join(dir, 'control/start')),
      'archive.mismatch',
      /"control\/start" is missing, but leonore.yaml has "run"/,
    ],
    [
      'executor: oci without the tar that it names',
      (dir) =>
        writeFile(
          join(dir, 'leonore.yaml'),
          'name: svm\nversion: 1.0.0\nrun: { executor: oci, oci: { rootfs: rootfs.tar } }\n',
        ),
      'archive.mismatch',
      /"binary\/rootfs\.tar" is missing, but leonore\.yaml names it in "run\.oci\.rootfs"/,
    ],
    [
      'neither binary/ nor control/',
      async (dir) => {
        await rm(join(dir, 'binary'), { recursive: true });
        await rm(join(dir, 'control'), { recursive: true });
      },
      'archive.mismatch',
      /has neither binary\/ nor control\//,
    ],
    [
      'a missing leonore.yaml',
      (dir) => rm(join(dir, 'leonore.yaml')),
      'manifest.invalid',
      /there is no leonore.yaml in it; "leonore artifact init" makes one/,
    ],
    [
      'a broken leonore.yaml',
      (dir) => writeFile(join(dir, 'leonore.yaml'), 'name: svm\n'),
      'manifest.invalid',
      /leonore\.yaml:1:1: version: is missing/,
    ],
    [
      'a folder that is not there',
      (dir) => rm(dir, { recursive: true }),
      'manifest.invalid',
      /there is no such folder/,
    ],
  ];
  for (const [title, prepare, code, words] of prepared) {
    it(title, async () => {
      const dir = await artifact(
        [
          ['binary/file', file('x')],
          ['control/start', file('#!/bin/sh\n', true)],
        ],
        'run: {}\n',
      );
      await prepare(dir);
      const error = await refusal(dir);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, words);
    });
  }

  it('all faults at once', async () => {
    const dir = await artifact([['binary/file', file('x')]]);
    for (let i = 0; i < 30; i++) await symlink('file', join(dir, `binary/link${i}`));
    await mkdir(join(dir, 'control'));
    await writeFile(join(dir, 'control/begin'), '');
    const error = await refusal(dir);
    assert.equal((error.details['faults'] as unknown[]).length, 31);
    assert.match(error.message, /\n {2}"binary\/link0" is a symbolic link[^]*\n {2}\.\.\. and 11 more$/);
  });

  it('to write into the folder that it packs', async () => {
    const dir = await artifact(FIXED);
    await assert.rejects(packArtifact(dir, { outDir: join(dir, 'binary', 'out') }), { code: 'cli.usage' });
    await packArtifact(dir, { outDir: dir, encodings: ['gzip'] });
  });
});
