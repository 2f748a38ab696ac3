/** Components that do not come as segments are held to the same, and a tar can be made again from what was unpacked. */
import assert from 'node:assert/strict';
import { access, appendFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type ComponentContent, rebuildTar, type TarEntry, tarSize, unpackComponents, unpackPackage } from './mod.ts';
import { encodeTarEntry } from './tar-writer.ts';
import { packageAround, piecewise, SVM } from './testing/packages.ts';
import { compressRaw, fileEntry, rawFile, rawFolder } from './testing/raw-tar.ts';
import { describeTree, testFolder } from './testing/trees.ts';

const folder = testFolder();
const LONG = `binary/svm/${'long'.repeat(60)}`;
const TAR = Buffer.concat([
  rawFolder('binary/svm'),
  rawFolder('binary/svm/empty'),
  rawFile('binary/svm/file', 'x'.repeat(5000)),
  rawFile('binary/svm/none', ''),
  rawFolder('control/svm'),
  rawFile('control/svm/start', '#!/bin/sh\n', 0o755),
]);
const FILES = [
  fileEntry('binary/svm/file', 'x'.repeat(5000)),
  fileEntry('binary/svm/none', ''),
  fileEntry('control/svm/start', '#!/bin/sh\n', 0o755),
];
const SOUND = packageAround('zstd', TAR, FILES);

async function unpackFrom(content: ComponentContent, sound = SOUND) {
  const into = join(await folder(), 'staging');
  const header = piecewise(sound.bytes.subarray(0, sound.headerSize));
  const unpacked = await unpackComponents(header, () => content, { ...sound, into, durable: false }).catch(
    async (error: unknown) => {
      await assert.rejects(access(into), { code: 'ENOENT' });
      throw error;
    },
  );
  return { into, ...unpacked };
}

describe('unpackComponents', () => {
  it('gives the same from a tar, from a segment and from the whole package', async () => {
    const whole = join(await folder(), 'whole');
    await unpackPackage(piecewise(SOUND.bytes), { ...SOUND, into: whole, durable: false });
    const fromTar = await unpackFrom({ form: 'tar', bytes: piecewise(TAR, 100) });
    const fromSegment = await unpackFrom({ form: 'segment', bytes: piecewise(compressRaw('zstd', TAR), 100) });
    assert.deepEqual(await describeTree(fromTar.into), await describeTree(whole));
    assert.deepEqual(await describeTree(fromSegment.into), await describeTree(whole));
    assert.deepEqual(fromTar.layouts, fromSegment.layouts);
    assert.deepEqual(fromTar.manifest, SOUND.manifest);
  });

  it('refuses a tar that is not what the manifest says, and leaves nothing', async () => {
    const changed = Buffer.from(TAR);
    changed[changed.indexOf('xxx')] = 0x79;
    const other = Buffer.concat([rawFolder('binary/svm'), TAR.subarray(1024)]);
    for (const [what, tar] of [
      ['a byte of a file', changed],
      ['an entry less', other],
      ['cut off', TAR.subarray(0, -100)],
      ['a file more', Buffer.concat([TAR, rawFile('control/svm/stop', 'x', 0o755)])],
      ['end blocks', Buffer.concat([TAR, Buffer.alloc(1024)])],
      ['nothing', Buffer.alloc(0)],
      ['a path outside', rawFile('binary/other', 'x')],
    ] as const) {
      const source = piecewise(tar);
      await assert.rejects(unpackFrom({ form: 'tar', bytes: source }), { name: 'LeonoreError' }, what);
      assert.ok(source.state.closed, what);
    }
    await assert.rejects(unpackFrom({ form: 'segment', bytes: piecewise(TAR) }), { code: 'archive.corrupt' });
  });

  it('passes on why there is no content, and leaves nothing', async () => {
    const into = join(await folder(), 'staging');
    const header = piecewise(SOUND.bytes.subarray(0, SOUND.headerSize));
    const gone = new Error('gone');
    await assert.rejects(
      unpackComponents(header, () => Promise.reject(gone), { ...SOUND, into }),
      gone,
    );
    await assert.rejects(access(into), { code: 'ENOENT' });
  });

  it('ends when it is aborted, even if a content hangs', async () => {
    const into = join(await folder(), 'staging');
    const header = piecewise(SOUND.bytes.subarray(0, SOUND.headerSize));
    const stopping = new AbortController();
    const { signal } = stopping;
    async function* hanging(): AsyncGenerator<Uint8Array> {
      yield TAR.subarray(0, 700);
      stopping.abort(new Error('enough'));
      await new Promise<never>(() => undefined);
    }
    const content = { form: 'tar', bytes: hanging() } as const;
    await assert.rejects(
      unpackComponents(header, () => content, { ...SOUND, into, signal }),
      /enough/,
    );
    await assert.rejects(access(into), { code: 'ENOENT' });
  });
});

describe('rebuildTar', () => {
  const rebuilt = async (layout: readonly TarEntry[], root: string) => {
    const bytes = Buffer.concat(await Array.fromAsync(rebuildTar(layout, (path) => join(root, path))));
    assert.equal(bytes.length, tarSize(layout));
    return bytes;
  };

  it('gives the tar that was unpacked, byte for byte, whatever lies beside its files', async () => {
    const head = encodeTarEntry({ type: 'file', path: LONG, mode: 0o644, size: 512 });
    const long = Buffer.concat([rawFolder('binary/svm'), head, Buffer.alloc(512, 'y')]);
    for (const [bytes, files] of [
      [TAR, FILES],
      [long, [fileEntry(LONG, 'y'.repeat(512))]],
    ] as const) {
      const sound = packageAround('gzip', bytes, files);
      const { into, layouts } = await unpackFrom({ form: 'tar', bytes: piecewise(bytes) }, sound);
      await writeFile(join(into, 'binary/svm/cache'), 'the application wrote it');
      assert.ok((await rebuilt(layouts.get(SVM) ?? [], into)).equals(bytes));
    }
  });

  it('refuses a file that is gone, longer, shorter or a link, by its name', async () => {
    for (const spoil of [
      (file: string) => rm(file),
      (file: string) => appendFile(file, 'x'),
      (file: string) => writeFile(file, 'short'),
      async (file: string) => {
        await rm(file);
        await symlink('/etc/passwd', file);
      },
    ]) {
      const { into, layouts } = await unpackFrom({ form: 'tar', bytes: piecewise(TAR) });
      await spoil(join(into, 'binary/svm/file'));
      const layout = layouts.get(SVM) ?? [];
      await assert.rejects(rebuilt(layout, into), {
        code: 'archive.mismatch',
        message: /"binary\/svm\/file" is not the/,
      });
    }
  });
});
