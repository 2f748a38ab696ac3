import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { createCliHome } from '../testing/run-cli.ts';

describe('leonore: login', { timeout: 120_000 }, () => {
  let node: FakeNode;
  before(async () => {
    node = await startFakeNode();
  });
  after(() => node[Symbol.asyncDispose]());

  it('keeps address and token so that only the owner can read them, and later calls use them', async () => {
    await using own = await createCliHome();
    const piped = await own.run(['login', `${node.url}/`, '--name', 'lab'], { input: `${node.token}\n` });
    assert.equal(piped.code, 0, piped.stderr);
    assert.equal(piped.stdout, '');
    const file = join(own.folder, 'config/leonore/config.json');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), {
      contexts: { lab: { server: node.url, token: node.token } },
      current: 'lab',
    });
    assert.equal((await own.run(['rollout', 'list', '-o', 'json'])).code, 0);
    const contexts = await own.run(['context', 'list', '-o', 'json']);
    assert.ok(contexts.stdout.includes('lab') && !contexts.stdout.includes(node.token));
    assert.equal((await own.run(['context', 'remove', 'lab'])).code, 0);
    assert.equal((await own.run(['rollout', 'list', '--server', node.url])).code, 4);
  });

  it('keeps nothing that does not work', async () => {
    await using own = await createCliHome();
    const wrong = await own.run(['login', node.url, '--token', 'wrong']);
    assert.equal(wrong.code, 4);
    await assert.rejects(stat(join(own.folder, 'config/leonore/config.json')));
    assert.equal((await own.run(['login', node.url])).code, 2);
  });

  it('the token of a context never goes to another server', async () => {
    await using own = await createCliHome();
    await using other = await startFakeNode();
    await own.run(['login', node.url, '--token', node.token]);
    const seen: (string | undefined)[] = [];
    other.intercept = (request) => {
      seen.push(request.headers.authorization);
      return false;
    };
    assert.equal((await own.run(['rollout', 'list', '--server', other.url])).code, 4);
    assert.deepEqual(seen, [undefined]);
  });

  it('a broken file is named', async () => {
    await using own = await createCliHome();
    await mkdir(join(own.folder, 'config/leonore'), { recursive: true });
    await writeFile(join(own.folder, 'config/leonore/config.json'), '{');
    const { code, stderr } = await own.run(['rollout', 'list']);
    assert.equal(code, 2);
    assert.match(stderr, /config\.json is not valid JSON/);
  });
});
