import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

const ANYWHERE = ['--http', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', '--log-level', 'silent'];

describe('leonore node', { timeout: 120_000 }, () => {
  let home: CliHome;
  before(async () => {
    home = await createCliHome();
  });
  after(() => home[Symbol.asyncDispose]());

  it('serves until it is told to stop: a newcomer logs in, publishes, looks', async () => {
    const steps = { started: false, url: '' };
    let work: Promise<void> | undefined;
    const node = await home.run(['node', ...ANYWHERE], {
      onStderr: (text, child) => {
        const url = /log in with +leonore login (\S+) < (\S+)/.exec(text);
        if (!url || steps.started) return;
        steps.started = true;
        work = tour(url[1] ?? '', url[2] ?? '').finally(() => child.kill('SIGTERM'));
      },
    });
    await work;
    assert.ok(steps.started, node.stderr);
    assert.deepEqual([node.code, node.stdout], [0, '']);
    await assert.rejects(stat(join(home.folder, 'leonore-data/node.json')), 'node.json says that a node runs');
    assert.equal((await stat(join(home.folder, 'leonore-data/admin-token'))).mode & 0o777, 0o600);
  });

  async function tour(url: string, tokenFile: string): Promise<void> {
    const ready = JSON.parse(await readFile(join(home.folder, 'leonore-data/node.json'), 'utf8'));
    assert.equal(ready.httpUrl, url);
    const login = await home.run(['login', url], { input: await readFile(tokenFile, 'utf8') });
    assert.equal(login.code, 0, login.stderr);

    assert.equal((await home.run(['artifact', 'init', 'my-app'])).code, 0);
    const first = await home.run(['artifact', 'publish', 'my-app', '-o', 'name']);
    assert.deepEqual([first.code, first.stdout, first.stderr], [0, 'my-app@0.1.0\n', 'published my-app 0.1.0\n']);
    const again = await home.run(['artifact', 'publish', 'my-app', '-o', 'name']);
    assert.deepEqual([again.code, again.stderr], [0, 'already published: my-app 0.1.0\n']);

    // Other bytes under the same version; a broken one beside it does not hold it up.
    await writeFile(join(home.folder, 'my-app/binary/more'), 'more');
    const changed = await home.run(['artifact', 'publish', 'my-app', 'nowhere', 'my-app']);
    assert.equal(changed.code, 1);
    assert.match(
      changed.stderr,
      /^error: my-app: [\s\S]*hint: a published build never changes: raise the version[\s\S]*^error: nowhere: /m,
    );
    await writeFile(join(home.folder, 'my-app/leonore.yaml'), 'name: my-app\nversion: one\n');
    const broken = await home.run(['artifact', 'publish', 'my-app']);
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /^error: .*leonore\.yaml:2.*version/);

    assert.equal((await home.run(['artifact', 'list', '-o', 'name'])).stdout, 'my-app@0.1.0\n');
    assert.match((await home.run(['provision', 'my-app', '--select', '*'])).stderr, /^error: .*\nhint: /);
  }

  it('names the port that is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const node = await home.run(['node', ...ANYWHERE, '--http', `127.0.0.1:${port}`, '--data', 'other']);
    assert.equal(node.code, 2);
    assert.match(node.stderr, new RegExp(`^error: port ${port} is taken; .* with --http\n$`));
    await new Promise((resolve) => other.close(resolve));
  });

  it('does not start with a key for SWUpdate that does not fit, and says what to do', async () => {
    const start = (...args: string[]) => home.run(['node', ...ANYWHERE, '--mqtt', 'off', '--data', 'signing', ...args]);
    const alone = await start('--swu-key', 'none.pem');
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /^error: .*signed with a key and its certificate; give --swu-cert as well/);
    const missing = await start('--swu-key', 'none.pem', '--swu-cert', 'none.crt');
    assert.match(missing.stderr, /none\.pem is not there; it must be the key/);
    const folder = await start('--swu-root', 'relative/folder');
    assert.match(folder.stderr, /--swu-root "relative\/folder" is no folder for gateways/);
  });

  it('-o json says on stdout where it is, for who starts it', async () => {
    const node = await home.run(['node', ...ANYWHERE, '--mqtt', 'off', '--data', 'third', '-o', 'json'], {
      onStdout: (_text, child) => child.kill('SIGINT'),
    });
    assert.equal(node.code, 0, node.stderr);
    const ready = JSON.parse(node.stdout);
    assert.match(ready.httpUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal(ready.mqttUrl, undefined);
    assert.equal(ready.adminTokenFile, join(home.folder, 'third/admin-token'));
  });
});
