import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { packArtifact, parseManifest } from './mod.ts';
import { testFolder } from './testing/trees.ts';

const folder = testFolder();
const HEAD = 'name: press-os\nversion: 4.2.0\nkind: image\n';

async function artifact(files: Readonly<Record<string, string>>, yaml = ''): Promise<string> {
  const dir = await folder();
  await writeFile(join(dir, 'leonore.yaml'), HEAD + yaml);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(dir, path, '..'), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  return dir;
}
const pack = (dir: string) => packArtifact(dir, { outDir: join(dir, 'out') });

async function refused(dir: string, words: RegExp): Promise<void> {
  await assert.rejects(pack(dir), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'archive.mismatch'), String(error));
    assert.match(error.message, words);
    return true;
  });
}

describe('an image', () => {
  it('is its one file as it is, named and not copied', async () => {
    const dir = await artifact({ 'image/press-4.2.swu': 'firmware' }, 'image: { part: bApp }\n');
    const packed = await pack(dir);
    const sha256 = createHash('sha256').update('firmware').digest('hex');
    assert.deepEqual(packed.manifest.image, { part: 'bApp', file: 'press-4.2.swu' });
    assert.deepEqual([packed.contentSha256, packed.unpackedSize], [sha256, 8]);
    assert.deepEqual(packed.files, [{ path: 'image/press-os/press-4.2.swu', mode: 0o644, size: 8, sha256 }]);
    assert.deepEqual(packed.segments, [{ encoding: 'raw', sha256, size: 8, file: join(dir, 'image/press-4.2.swu') }]);
    assert.deepEqual((await pack(await artifact({ 'image/x.bin': '1' }))).manifest.image, {
      part: 'os',
      file: 'x.bin',
    });
  });

  it('holds exactly one file, and nothing that a container runs', async () => {
    await refused(await artifact({}), /image\/ holds no file; put the one that the gateways install into it/);
    await refused(
      await artifact({ 'image/a': '1', 'image/b': '2' }),
      /image\/ holds 2 entries \("a", "b"\); it holds exactly one file/,
    );
    await refused(
      await artifact({ 'image/a': '1', 'binary/x': '2' }),
      /binary\/ has files, which an image does not have/,
    );
    await refused(await artifact({ 'image/a': '1', 'control/start': '2' }), /control\/ has files/);
    await refused(await artifact({ 'image/a': '' }), /"a" is empty/);
    await refused(await artifact({ 'image/a/b': '1' }), /"a" is no file/);
    await refused(
      await artifact({ 'image/my image.swu': '1' }),
      /"my image\.swu" cannot be its name: an image's file is named with letters/,
    );
    await refused(
      await artifact({ 'image/a': '1' }, 'image: { file: b }\n'),
      /leonore\.yaml says that the file is "b", image\/ has "a"/,
    );
    const linked = await artifact({ 'build/a': '1' });
    await mkdir(join(linked, 'image'));
    await symlink('../build/a', join(linked, 'image/a'));
    await refused(linked, /"a" is a symbolic link; put the file itself in its place/);
  });

  it('is told from an application that only looks like one', async () => {
    const dir = await artifact({ 'image/a.swu': '1' });
    await writeFile(join(dir, 'leonore.yaml'), 'name: press-os\nversion: 4.2.0\n');
    await refused(dir, /has neither binary\/ nor control\/ but image\/; .* write kind: image into leonore\.yaml/);
  });

  it('has no words in its manifest that only a container could follow', () => {
    const faults = (yaml: string): string => {
      try {
        parseManifest(HEAD + yaml, 'leonore.yaml');
      } catch (error) {
        return (error as Error).message;
      }
      return assert.fail(`taken: ${yaml}`);
    };
    assert.match(faults('run: {}\n'), /leonore\.yaml:4:\d+: run: an image is installed by the gateway itself/);
    assert.match(faults('installPath: /opt/x\n'), /installPath: an image is installed by the gateway itself/);
    assert.match(faults('requires: { artifacts: { a: "*" } }\n'), /requires\.artifacts: an image is delivered alone/);
    assert.match(faults('requires: { optional: { a: "*" } }\n'), /requires\.optional: an image is delivered alone/);
    assert.match(
      faults('requires: { anyOf: [[{ artifact: a }, { capability: b }]] }\n'),
      /anyOf\.0: an image is delivered alone.*capabilities may stand here/,
    );
    assert.match(faults('image: { part: "a b" }\n'), /image\.part: letters, digits/);
    const fine = 'requires: { capabilities: { boot: "2" }, resources: { disk: 1GiB } }\nprovides: { os: "4" }\n';
    assert.equal(parseManifest(HEAD + fine, 'leonore.yaml').kind, 'image');
    assert.throws(
      () => parseManifest('name: a\nversion: 1.0.0\nimage: {}\n', 'l.yaml'),
      /image: belongs to an image only; write kind: image as well/,
    );
  });
});
