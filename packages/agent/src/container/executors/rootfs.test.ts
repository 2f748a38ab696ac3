/** Unpacking root file systems: as real tools write them, and as an attacker would. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { link, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type TarEntrySketch, tarOf } from '../../test-support/tar.ts';
import { temporaryFolder } from '../../test-support/temporary-folder.ts';
import { unpackRootfs } from './rootfs.ts';

async function unpack(root: string, tar: Buffer | string): Promise<string> {
  const file = typeof tar === 'string' ? tar : join(root, 'rootfs.tar');
  if (typeof tar !== 'string') await writeFile(file, tar);
  const target = join(root, 'rootfs');
  await unpackRootfs(file, `${target}.partial`, target);
  return target;
}

for (const format of ['gnu', 'posix', 'ustar']) {
  void test(`unpacks what GNU tar writes as ${format}: long names, links of both kinds, modes`, async () => {
    await using root = await temporaryFolder();
    const source = join(root.path, 'source');
    const deep = join('usr/lib', 'd'.repeat(90), 'e'.repeat(60));
    await mkdir(join(source, deep), { recursive: true });
    await mkdir(join(source, 'bin'));
    await writeFile(join(source, deep, 'long'), 'x'.repeat(300_000));
    await writeFile(join(source, 'bin/busybox'), 'binary', { mode: 0o755 });
    await symlink('/bin/busybox', join(source, 'bin/sh'));
    await symlink('usr/lib', join(source, 'lib'));
    await link(join(source, 'bin/busybox'), join(source, 'bin/ls'));
    execFileSync('chmod', ['4711', join(source, 'bin/busybox')]);
    execFileSync('chmod', ['700', source]);
    const tar = join(root.path, 'made.tar');
    execFileSync('tar', ['--format', format, '-cf', tar, '-C', source, '.']);
    const target = await unpack(root.path, tar);
    assert.equal((await readFile(join(target, deep, 'long'))).length, 300_000);
    assert.equal(await readlink(join(target, 'bin/sh')), '/bin/busybox');
    assert.equal(await readlink(join(target, 'lib')), 'usr/lib');
    const [busybox, ls] = await Promise.all(['bin/busybox', 'bin/ls'].map((name) => lstat(join(target, name))));
    assert.equal(busybox?.ino, ls?.ino);
    assert.equal((busybox?.mode ?? 0) & 0o7777, 0o711, 'setuid is taken away');
    assert.equal((await stat(target)).mode & 0o777, 0o755);
    assert.deepEqual((await readdir(root.path)).includes('rootfs.partial'), false);
  });
}

void test('devices and FIFOs are left out', async () => {
  await using root = await temporaryFolder();
  const nodes = ['3', '4', '6'].map((type): TarEntrySketch => ({ path: `dev/${type}`, type }));
  const target = await unpack(root.path, tarOf({ path: 'dev', type: '5' }, ...nodes, { path: 'file', body: 'x' }));
  assert.deepEqual(await readdir(join(target, 'dev')), []);
  assert.equal(await readFile(join(target, 'file'), 'utf8'), 'x');
});

const HOSTILE: readonly [string, readonly TarEntrySketch[]][] = [
  ['a path that leads out', [{ path: '../out', body: 'x' }]],
  ['a path that leads out further in', [{ path: 'a/../../out', body: 'x' }]],
  ['a hard link to outside', [{ path: 'a', type: '1', target: '../secret' }]],
  [
    'a hard link to a link',
    [
      { path: 'l', type: '2', target: '../secret' },
      { path: 'a', type: '1', target: 'l' },
    ],
  ],
  [
    'a file through a link',
    [
      { path: 'd', type: '2', target: '..' },
      { path: 'd/out', body: 'x' },
    ],
  ],
  [
    'a link through a link',
    [
      { path: 'd', type: '2', target: '..' },
      { path: 'd/out', type: '2', target: 'x' },
    ],
  ],
  [
    'a folder made through a link',
    [
      { path: 'd', type: '2', target: '..' },
      { path: 'd/out/deep', type: '2', target: 'x' },
    ],
  ],
  ['an unknown type', [{ path: 'a', type: 'Z' }]],
];
for (const [name, entries] of HOSTILE) {
  void test(`hostile: ${name} is refused, or stays inside`, async () => {
    await using root = await temporaryFolder();
    await writeFile(join(root.path, 'secret'), 'secret');
    const unpacked = await unpack(root.path, tarOf(...entries)).then(
      () => true,
      () => false,
    );
    assert.deepEqual(
      (await readdir(root.path)).filter((name) => !name.startsWith('rootfs')),
      ['secret'],
      'nothing outside',
    );
    assert.equal((await lstat(join(root.path, 'secret'))).nlink, 1);
    assert.equal(unpacked, false);
  });
}

void test('what is cut off, damaged or no tar at all is refused, and nothing counts as unpacked', async () => {
  const whole = tarOf({ path: 'a', body: 'x'.repeat(2000) }, { path: 'b', body: 'y' });
  const damaged = Buffer.from(whole);
  damaged[3] = 0x41;
  const noEnd = whole.subarray(0, 1500);
  for (const [what, bytes] of Object.entries({
    damaged,
    noEnd,
    gzip: Buffer.alloc(512, 0x1f),
    text: Buffer.from('x'.repeat(600)),
  })) {
    await using root = await temporaryFolder();
    await assert.rejects(unpack(root.path, bytes), /checksum|ends within/, what);
    await assert.rejects(stat(join(root.path, 'rootfs')));
  }
  await using root = await temporaryFolder();
  await assert.rejects(unpack(root.path, join(root.path, 'nothing.tar')), /cannot be read/);
});
