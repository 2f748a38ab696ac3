import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, type Gateway, installPlanSchema } from '@leonore/protocol';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

function gateway(id: string, libc: string): Gateway {
  const profile = { ...EMPTY_PROFILE, os: 'linux', arch: 'arm64', libc };
  return { id, profile, labels: {}, connected: false, enrolledAt: 1_700_000_000_000, desired: [] };
}

const STEP = { version: '1.2.28', platform: {}, requested: true, because: 'requested', after: [] };

describe('leonore explain', { timeout: 120_000 }, () => {
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
  beforeEach(() => {
    node.gateways.clear();
    const plan = installPlanSchema.parse({ steps: [{ ...STEP, action: 'install', name: 'svm' }], remove: [] });
    node.resolution = { outcome: 'plan', plan };
  });

  it('shows a tree for each class, with its count and an example', async () => {
    node.gateways.set('gw-1', gateway('gw-1', 'glibc'));
    node.gateways.set('gw-2', gateway('gw-2', 'musl'));
    const { code, stdout } = await run(['explain', 'svm', '--select', 'site=vienna']);
    assert.equal(code, 0);
    assert.deepEqual(stdout.split('\n'), [
      '2 gateways of 2 classes for site=vienna',
      '',
      '1 gateway like gw-1 (linux-arm64-glibc): 1 to install',
      '└─ 1. install svm 1.2.28  requested',
      '',
      '1 gateway like gw-2 (linux-arm64-musl): 1 to install',
      '└─ 1. install svm 1.2.28  requested',
      '',
    ]);
    assert.equal((await run(['explain', 'svm', '-s', '*', '-o', 'name'])).stdout, 'svm@1.2.28\n');
    const json = JSON.parse((await run(['explain', 'svm', '-s', '*', '-o', 'json'])).stdout);
    assert.deepEqual([json.gateways, json.classes[1].example], [2, 'gw-2']);
  });

  it('ends with 1 when a class has no plan, and says why', async () => {
    node.gateways.set('gw-1', gateway('gw-1', 'musl'));
    const facts = [{ kind: 'platform' as const, text: 'svm 2.x needs libc glibc' }];
    node.resolution = {
      outcome: 'unsatisfiable',
      explanation: { summary: 'svm cannot be installed', facts, suggestions: ['svm 1.2.28'] },
    };
    const { code, stdout } = await run(['explain', 'svm@2', '--select', '*']);
    assert.equal(code, 1);
    assert.equal(
      stdout,
      [
        '1 gateway of 1 class for *',
        '',
        '1 gateway like gw-1 (linux-arm64-musl): no plan',
        'svm cannot be installed',
        '└─ svm 2.x needs libc glibc',
        'try: svm 1.2.28',
        '',
      ].join('\n'),
    );
  });

  it('says when nobody is selected', async () => {
    const { code, stderr } = await run(['explain', 'svm', '--select', 'site=nowhere']);
    assert.equal(code, 1);
    assert.match(stderr, /no gateway matches "site=nowhere"/);
  });
});
