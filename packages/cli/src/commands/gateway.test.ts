import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, type Gateway, taskSchema } from '@leonore/protocol';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

function gateway(id: string, extra: Partial<Gateway> = {}): Gateway {
  return {
    id,
    profile: { ...EMPTY_PROFILE, os: 'linux', arch: 'arm64', libc: 'glibc', labels: { floor: '2' } },
    labels: { site: 'vienna' },
    connected: false,
    enrolledAt: 1_700_000_000_000,
    desired: [],
    ...extra,
  };
}

describe('leonore: gateways', { timeout: 120_000 }, () => {
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

  beforeEach(() => node.gateways.clear());

  it('labels with KEY=VALUE and KEY-', async () => {
    node.gateways.set('gw', gateway('gw'));
    const { code, stdout } = await run(['gateway', 'label', 'gw', 'site-', 'zone=a=b']);
    assert.deepEqual([code, stdout], [0, 'gw  zone=a=b\n']);
  });

  it('refuses labels that would say what is installed', async () => {
    node.gateways.set('gw', gateway('gw'));
    const { code, stderr } = await run(['gateway', 'label', 'gw', 'app/svm=1.2.28']);
    assert.equal(code, 2);
    assert.match(stderr, /app\/svm.*keys that begin with app\/ say what is installed/);
  });

  it('--runs is a selector over what is installed, beside another', async () => {
    node.gateways.set('gw', gateway('gw'));
    const asked: (string | null)[] = [];
    node.intercept = ({ url = '' }) => {
      asked.push(new URL(url, 'http://node').searchParams.get('selector'));
      return false;
    };
    await run(['gateway', 'list', '--runs', 'svm']);
    await run(['gateway', 'list', '--runs', 'svm@1.2.28', '--select', 'site=vienna']);
    await run(['gateway', 'list', '*', '--runs', 'svm@2.0.0-rc.1']);
    node.intercept = undefined;
    assert.deepEqual(asked, ['app/svm', 'site=vienna,app/svm=1.2.28', 'app/svm=2.0.0-rc.1']);
    const refused = await run(['gateway', 'list', '--runs', 'svm@^1.2']);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /for a range of versions ask leonore artifact usage svm@\^1\.2/);
  });

  it('removes only with --yes where nobody can be asked', async () => {
    node.gateways.set('gw', gateway('gw'));
    const refused = await run(['gateway', 'remove', 'gw']);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /--yes/);
    assert.ok(node.gateways.has('gw'));
    assert.equal((await run(['gateway', 'remove', 'gw', '--yes'])).code, 0);
    assert.ok(!node.gateways.has('gw'));
  });

  it('a token can be made by a script in one line', async () => {
    const made = await run([
      'gateway',
      'token',
      'create',
      '--uses',
      '3',
      '--ttl',
      '2h',
      '--label',
      'site=graz',
      '-o',
      'name',
    ]);
    assert.match(made.stdout, /^secret-of-t-\d+\n$/);
    const [token] = JSON.parse((await run(['gateway', 'token', 'list', '-o', 'json'])).stdout);
    assert.deepEqual(
      [token.usesLeft, token.labels, token.expiresAt - token.createdAt],
      [3, { site: 'graz' }, 7_200_000],
    );
    assert.equal((await run(['gateway', 'token', 'revoke', token.id])).code, 0);
    assert.equal(node.tokens.size, 0);
  });

  it('makes a gateway known with the token it shall use', async () => {
    const { stdout } = await run([
      'gateway',
      'create',
      'plc',
      '--target-token',
      'abc',
      '--label',
      'site=graz',
      '-o',
      'json',
    ]);
    const made = JSON.parse(stdout);
    assert.deepEqual([made.token, made.gateway.labels], ['abc', { site: 'graz' }]);
  });

  it('logs each step of each task, oldest first', async () => {
    node.gateways.set('gw', gateway('gw'));
    const at = 1_700_000_000_000;
    node.tasks.push(
      taskSchema.parse({
        id: 5,
        rollout: 2,
        gateway: 'gw',
        state: 'failed',
        strategy: 'push',
        canceling: false,
        createdAt: at,
        updatedAt: at + 2500,
        endedAt: at + 2500,
        transitions: [
          { state: 'offered', at, messages: [] },
          { state: 'failed', at: at + 2500, messages: ['install ended with 3', 'no space'] },
        ],
      }),
    );
    const { stdout } = await run(['gateway', 'logs', 'gw']);
    assert.match(
      stdout,
      /^task 5 of rollout 2, by push\n {2}\S+ \S+ {2}offered\n {2}\S+ \S+ {2}failed {2}\+2\.5 s\n {6}install ended with 3\n {6}no space\n {2}took 2\.5 s\n$/,
    );
    node.tasks.length = 0;
  });
});
