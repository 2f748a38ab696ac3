import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, type Gateway, installedComponentSchema, taskSchema } from '@leonore/protocol';
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

  it('shows a gateway on one screen: what it is made of, what runs, how it is doing', async () => {
    node.gateways.set(
      'gw',
      gateway('gw', {
        profile: {
          ...EMPTY_PROFILE,
          board: 'Raspberry Pi 4',
          os: 'linux',
          arch: 'arm64',
          libc: 'glibc',
          libcVersion: '2.36',
          distribution: { id: 'debian', version: '12', name: 'Debian GNU/Linux 12' },
          compatibleArchs: ['arm'],
          cpu: { model: 'Cortex-A72', cores: 4, features: ['asimd'] },
          memory: { total: 4 * 2 ** 30, free: 2 ** 30 },
          disk: { total: 2 ** 35, free: 2 ** 34 },
          capabilities: { java: '17.0.15', 'executor-oci': '1.1.5' },
          network: {
            interfaces: [
              { name: 'eth0', kind: 'ethernet', addresses: ['10.0.0.7/24'] },
              { name: 'wlan0', kind: 'wifi', addresses: [] },
            ],
            route: { interface: 'eth0', address: '10.0.0.1' },
            subnet: '10.0.0.0/24',
          },
          facts: { line: 7, room: 'B\u001b[2J12' },
          load: 1.5,
          temperature: 51.5,
          uptime: 86_400,
          clock: { offset: -7200, synchronised: false },
          installed: installedComponentSchema.array().parse([
            {
              name: 'svm',
              version: '1.2.28',
              state: 'running',
              requested: true,
              since: Date.now() - 7_200_000 - 60_000,
            },
            { name: 'sax', version: '1.0.0', state: 'failed', restarts: 5, lastExit: { at: 1, code: 3 } },
          ]),
          reportedAt: Date.now(),
        },
      }),
    );
    const { stdout } = await run(['gateway', 'show', 'gw']);
    const lines = stdout.split('\n').map((line) => line.replaceAll(/ +/g, ' ').trimEnd());
    for (const line of [
      'HARDWARE',
      ' board Raspberry Pi 4',
      ' cpu 4 × Cortex-A72',
      'SOFTWARE',
      ' system Debian GNU/Linux 12',
      ' also runs arm',
      ' libc glibc 2.36',
      ' has java 17.0.15, executor-oci 1.1.5',
      'NETWORK',
      ' eth0 ethernet 10.0.0.7/24',
      ' wlan0 wifi no address',
      ' route 10.0.0.1 over eth0',
      ' subnet 10.0.0.0/24',
      'FACTS',
      ' line 7',
      ' room B\uFFFD[2J12',
      'APPLICATIONS',
      'NOW',
      ' up 1 d 0 h',
      ' load 1.5 of 4',
      ' memory 1.0 GiB free of 4.0 GiB',
      ' disk 16.0 GiB free of 32.0 GiB',
      ' temperature 51.5 °C',
      ' clock 2 h 00 min behind, not synchronised',
    ])
      assert.ok(lines.includes(line), `${line}\nin\n${stdout}`);
    // By the gateway's clock, which is two hours behind.
    assert.match(stdout, /svm +1\.2\.28 +running +1 min \d\d s +0 +asked for/);
    assert.match(stdout, /sax +1\.0\.0 +failed .* 5 +needed by another +ended with 3/);
    assert.deepEqual(JSON.parse((await run(['gateway', 'show', 'gw', '-o', 'json'])).stdout), node.gateways.get('gw'));
    assert.match((await run(['gateway', 'list'])).stdout, / 2, 1 failed /);
  });

  it('a gateway that says little is shown without empty sections', async () => {
    node.gateways.set('gw', gateway('gw', { profile: EMPTY_PROFILE }));
    const { stdout } = await run(['gateway', 'show', 'gw']);
    assert.doesNotMatch(stdout, /HARDWARE|NETWORK|FACTS|APPLICATIONS|NOW|undefined/);
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

  it('makes a gateway of another maker known with what it installs', async () => {
    const created = (...args: string[]) => run(['gateway', 'create', 'press', ...args, '-o', 'json']);
    const { stdout } = await created(
      '--format',
      'swu',
      '--format',
      'image',
      '--arch',
      'arm64',
      '--disk-free',
      '512MiB',
    );
    const { profile } = JSON.parse(stdout).gateway;
    assert.deepEqual(
      [profile.formats, profile.arch, profile.os, profile.disk],
      [['swu', 'image'], 'arm64', undefined, { total: 2 ** 29, free: 2 ** 29 }],
    );
    assert.match(
      (await created('--format', 'rpm')).stderr,
      /"rpm" is no package format; they are tar\.zst, tar\.gz, swu, image/,
    );
    assert.match((await created('--arch', 'ARM 64')).stderr, /--arch: lower-case letters/);
    assert.match((await created('--disk-free', 'much')).stderr, /--disk-free: "much" is no amount of bytes/);
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
      /^task 5 of rollout 2, by push\n {2}\S+ \S+ {2}offered\n {2}\S+ \S+ {2}failed {2}\+2\.5 s\n {6}install ended with 3\n {6}no space\n {2}took 2\.5 s; why: leonore task show 5\n$/,
    );
    node.tasks.length = 0;
  });
});
