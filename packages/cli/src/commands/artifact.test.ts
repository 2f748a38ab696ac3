import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { artifactManifestSchema, sha256Schema } from '@leonore/protocol';
import { parse as parseYaml } from 'yaml';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

describe('leonore: artifacts', { timeout: 120_000 }, () => {
  let node: FakeNode;
  let home: CliHome;
  let run: CliHome['run'];
  before(async () => {
    node = await startFakeNode();
    home = await createCliHome({ LEONORE_URL: node.url, LEONORE_TOKEN: node.token });
    run = home.run;
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  it('init makes an artifact and never overwrites one', async () => {
    await using own = await createCliHome();
    assert.equal((await own.run(['artifact', 'init', 'My App'])).code, 0);
    const manifest = parseYaml(await readFile(join(own.folder, 'My App/leonore.yaml'), 'utf8'));
    assert.equal(artifactManifestSchema.parse(manifest).name, 'my-app');
    assert.equal((await stat(join(own.folder, 'My App/control/start'))).mode & 0o111, 0o111);
    await writeFile(join(own.folder, 'My App/leonore.yaml'), 'mine');
    assert.equal((await own.run(['artifact', 'init', 'My App'])).code, 2);
    assert.equal(await readFile(join(own.folder, 'My App/leonore.yaml'), 'utf8'), 'mine');
  });

  it('shows and withdraws a version', async () => {
    node.artifacts.push({
      manifest: artifactManifestSchema.parse({
        name: 'svm',
        version: '1.2.28',
        description: 'a machine',
        requires: { resources: { memory: '2MiB' } },
      }),
      contentSha256: sha256Schema.parse('a'.repeat(64)),
      unpackedSize: 120_000,
      fileCount: 2,
      segments: [{ encoding: 'gzip', sha256: sha256Schema.parse('b'.repeat(64)), size: 118_000 }],
      publishedAt: 1_700_000_000_000,
    });
    assert.match(
      (await run(['artifact', 'show', 'svm@1.2.28'])).stdout,
      /^artifact +svm 1\.2\.28$[\s\S]*^memory +2\.0 MiB$/m,
    );
    assert.equal((await run(['artifact', 'list', '-o', 'name'])).stdout, 'svm@1.2.28\n');
    assert.equal((await run(['artifact', 'withdraw', 'svm@1.2.28', '--reason', 'broken'])).code, 2);
    assert.equal((await run(['artifact', 'withdraw', 'svm@1.2.28', '--reason', 'broken', '-y'])).code, 0);
    assert.match((await run(['artifact', 'list'])).stdout, /withdrawn: broken/);
    node.artifacts.length = 0;
  });
});
