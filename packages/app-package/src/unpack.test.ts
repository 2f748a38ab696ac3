/** How unpacking behaves towards its source, its folder and whoever called it; what it refuses is in hostile and damaged. */
import assert from 'node:assert/strict';
import { access, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { inspectSegment, readPackageHeader, unpackPackage, type UnpackProgress } from './mod.ts';
import { createStagingFolder } from './staging-folder.ts';
import { packageAround, piecewise, SVM } from './testing/packages.ts';
import { compressRaw, fileEntry, rawFile, rawFolder } from './testing/raw-tar.ts';
import { describeTree, testFolder } from './testing/trees.ts';

const folder = testFolder();
const FILE = 'binary/svm/file';
const TAR = Buffer.concat([rawFolder('binary/svm'), rawFile(FILE, 'x'.repeat(5000))]);
const SOUND = packageAround('gzip', TAR, [fileEntry(FILE, 'x'.repeat(5000))]);

/** Gives the first `length` bytes, then nothing, for ever; `stalled` is fulfilled when it has. */
function stalling(length: number): { source: AsyncIterable<Uint8Array>; stalled: Promise<void> } {
  const { promise: stalled, resolve } = Promise.withResolvers<void>();
  async function* source(): AsyncGenerator<Uint8Array> {
    yield SOUND.bytes.subarray(0, length);
    resolve();
    await new Promise<never>(() => undefined);
  }
  return { source: source(), stalled };
}

describe('unpackPackage', () => {
  it('ends at once when it is aborted, even if the source hangs, and leaves nothing', async () => {
    for (const length of [0, 10, SOUND.headerSize, SOUND.headerSize + 30, SOUND.size]) {
      const into = join(await folder(), 'staging');
      const { source, stalled } = stalling(length);
      const controller = new AbortController();
      const unpacking = unpackPackage(source, { ...SOUND, into, signal: controller.signal, durable: false });
      const reason = new Error('the operator said no');
      stalled.then(() => controller.abort(reason), assert.fail);
      await assert.rejects(unpacking, reason);
      await assert.rejects(access(into), { code: 'ENOENT' });
    }
  });

  it('does nothing when it was aborted before', async () => {
    const into = join(await folder(), 'staging');
    const source = piecewise(SOUND.bytes);
    await assert.rejects(unpackPackage(source, { ...SOUND, into, signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    await assert.rejects(access(into), { code: 'ENOENT' });
  });

  it('passes on what its source or its caller throws, and leaves nothing', async () => {
    const dir = await folder();
    const lost = new Error('the connection is lost');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield SOUND.bytes.subarray(0, SOUND.size - 40);
      await setImmediate();
      throw lost;
    }
    await assert.rejects(unpackPackage(failing(), { ...SOUND, into: join(dir, 'a'), durable: false }), lost);
    const onProgress = ({ bytesRead }: UnpackProgress): void => {
      if (bytesRead > SOUND.headerSize) throw lost;
    };
    const source = piecewise(SOUND.bytes, 100);
    await assert.rejects(unpackPackage(source, { ...SOUND, into: join(dir, 'b'), onProgress }), lost);
    assert.deepEqual(await readdir(dir), []);
    assert.ok(source.state.closed);
  });

  it('does not take a source that breaks off for a damaged archive', async () => {
    const broken = Object.assign(new Error('aborted'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    async function* breaking(): AsyncGenerator<Uint8Array> {
      yield compressRaw('zstd', TAR).subarray(0, 20);
      await setImmediate();
      throw broken;
    }
    await assert.rejects(inspectSegment(breaking(), { encoding: 'zstd', name: SVM }), broken);
  });

  it('touches nothing that is there already', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'mine'), 'mine');
    await mkdir(join(dir, 'theirs'));
    await symlink('theirs', join(dir, 'link'));
    const before = await describeTree(dir);
    for (const name of ['mine', 'theirs', 'link']) {
      const source = piecewise(SOUND.bytes);
      await assert.rejects(unpackPackage(source, { ...SOUND, into: join(dir, name) }), {
        code: 'config.invalid',
        message: /exists already; a package is unpacked to a folder of its own/,
      });
      assert.ok(source.state.closed);
    }
    assert.deepEqual(await describeTree(dir), before);
  });

  it('gives modes that do not depend on the umask', async () => {
    const into = join(await folder(), 'deep', 'staging');
    const tar = Buffer.concat([
      rawFolder('control/svm'),
      rawFile('control/svm/start', 'x', 0o755),
      rawFile('control/svm/stop'),
    ]);
    const files = [fileEntry('control/svm/start', 'x', 0o755), fileEntry('control/svm/stop')];
    const umask = process.umask(0o077);
    try {
      const sound = packageAround('zstd', tar, files);
      await unpackPackage(piecewise(sound.bytes), { ...sound, into });
    } finally {
      process.umask(umask);
    }
    const modes = (await describeTree(join(into, 'control'))).map((line) => line.split(' ').slice(0, 3).join(' '));
    assert.deepEqual(modes, ['file 644 svm/stop', 'file 755 svm/start', 'folder 755 svm']);
  });

  it('tells how far it is, up to the end', async () => {
    const seen: UnpackProgress[] = [];
    const into = join(await folder(), 'staging');
    await unpackPackage(piecewise(SOUND.bytes, 50), { ...SOUND, into, onProgress: (progress) => seen.push(progress) });
    assert.ok(seen.length >= SOUND.size / 50);
    assert.ok(seen.every(({ bytesRead }, index) => bytesRead > (seen[index - 1]?.bytesRead ?? 0)));
    assert.deepEqual(seen.at(-1), { bytesRead: SOUND.size, totalBytes: SOUND.size });
  });

  it('tells of a full disk as such', async () => {
    const staging = await createStagingFolder(join(await folder(), 'staging'), { durable: false });
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    async function* body(): AsyncGenerator<Uint8Array> {
      await setImmediate();
      yield Buffer.from('x');
      throw full;
    }
    await assert.rejects(staging.file('file', 0o644, body()), {
      code: 'agent.disk-full',
      message: /no space left to unpack "file"/,
    });
  });
});

it('readPackageHeader reads no further than the header, and closes its source', async () => {
  const source = piecewise(SOUND.bytes, 16);
  await readPackageHeader(source, SOUND);
  assert.ok(source.state.taken < SOUND.headerSize + 16);
  assert.ok(source.state.closed);
});
