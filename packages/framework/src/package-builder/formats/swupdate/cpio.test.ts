import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cpioHead, cpioPadding, cpioTrailer } from './cpio.ts';

const missing = spawnSync('cpio', ['--version'], { stdio: 'ignore' }).error !== undefined;
const skip = missing ? 'cpio is not installed; on Debian: apt-get install cpio' : false;

function archive(files: readonly { name: string; content: Uint8Array }[]): Buffer {
  const entries = files.flatMap(({ name, content }, index) => [
    cpioHead(name, content.length, index + 1),
    Buffer.from(content),
    cpioPadding(content.length),
  ]);
  const body = Buffer.concat(entries);
  return Buffer.concat([body, cpioTrailer(body.length)]);
}

const file = fc.record({
  name: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,60}\.tar\.gz$/),
  content: fc.uint8Array({ maxLength: 600 }),
});

describe('a cpio archive', () => {
  it('is a multiple of 512 bytes, each head and each file at a multiple of 4', () => {
    const files = fc.uniqueArray(file, { selector: ({ name }) => name, maxLength: 6 });
    fc.assert(
      fc.property(files, (wanted) => {
        const bytes = archive(wanted);
        assert.equal(bytes.length % 512, 0);
        let at = 0;
        for (const { name, content } of [...wanted, { name: 'TRAILER!!!', content: new Uint8Array() }]) {
          assert.equal(at % 4, 0);
          assert.equal(bytes.toString('latin1', at, at + 6), '070701');
          const field = (index: number) =>
            Number.parseInt(bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
          assert.equal(field(6), content.length);
          const begin = at + 110 + field(11);
          assert.equal(bytes.toString('latin1', at + 110, begin - 1), name);
          at = begin + ((4 - (begin % 4)) % 4);
          assert.deepEqual(bytes.subarray(at, at + content.length), Buffer.from(content));
          at += content.length + ((4 - (content.length % 4)) % 4);
        }
        assert.equal(
          bytes.subarray(at).every((byte) => byte === 0),
          true,
        );
      }),
    );
  });

  it('holds no file that its eight digits cannot count', () => {
    assert.equal(cpioHead('a', 2 ** 32 - 1, 1).toString('latin1', 54, 62), 'FFFFFFFF');
    assert.throws(() => cpioHead('a', 2 ** 32, 1), /at most 4294967295 bytes/);
  });

  it('is unpacked by cpio without a word, to the same files', { skip }, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'leonore-cpio-'));
    try {
      const files = [
        { name: 'sw-description', content: Buffer.from('software = {};\n') },
        { name: 'empty.bin', content: Buffer.alloc(0) },
        { name: 'large.tar.gz', content: Buffer.alloc(1_000_003, 'leonore') },
      ];
      const { status, stderr } = spawnSync('cpio', ['-idm', '--quiet'], {
        input: archive(files),
        cwd: dir,
        encoding: 'utf8',
      });
      assert.deepEqual([status, stderr], [0, '']);
      for (const { name, content } of files) {
        assert.deepEqual(await readFile(join(dir, name)), content);
        assert.equal((await stat(join(dir, name))).mode & 0o777, 0o644);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
