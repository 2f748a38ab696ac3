import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, type Gateway, NO_TASKS, taskSchema } from '@leonore/protocol';
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

function move(node: FakeNode, state: 'succeeded' | 'failed', counts: Partial<typeof NO_TASKS>) {
  const rollout = node.rollouts.get(1);
  assert.ok(rollout);
  const changed = {
    ...rollout,
    state,
    counts: { ...NO_TASKS, total: 2, ...counts },
    endedAt: rollout.createdAt + 1500,
  };
  node.rollouts.set(1, changed);
  node.emit({ type: 'rollout', rollout: changed });
}

describe('leonore: provision and rollouts', { timeout: 120_000 }, () => {
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
    node.rollouts.clear();
    node.tasks.length = 0;
    for (const id of ['gw-1', 'gw-2']) node.gateways.set(id, gateway(id));
  });

  it('makes a rollout of what was said', async () => {
    const { code, stdout } = await run([
      'provision',
      'svm@^1.2',
      'hello',
      '--remove',
      'old',
      '-s',
      'site=vienna',
      '--strategy',
      'pull',
      '--upgrade',
      '-o',
      'json',
    ]);
    assert.equal(code, 0);
    const { applications, remove, selector, strategy, upgrade } = JSON.parse(stdout);
    assert.deepEqual(
      { applications, remove, selector, strategy, upgrade },
      {
        applications: [
          { name: 'svm', range: '^1.2' },
          { name: 'hello', range: '*' },
        ],
        remove: ['old'],
        selector: 'site=vienna',
        strategy: 'pull',
        upgrade: true,
      },
    );
  });

  it('--wait ends with 0 when every gateway has it, and spams no log', async () => {
    const { code, stdout, stderr } = await run(['provision', 'svm', '-s', '*', '--wait', '-o', 'name'], {
      onStderr: (text) => {
        if (text.includes('began') && node.rollouts.get(1)?.state === 'running')
          move(node, 'succeeded', { succeeded: 2 });
      },
    });
    assert.deepEqual([code, stdout], [0, '1\n']);
    assert.equal(stderr, 'rollout 1 began\nrollout 1 succeeded in 1.5 s: 2 succeeded\n');
  });

  it('--wait ends with 1 when a gateway failed, and says which and why', async () => {
    const { code, stderr } = await run(['provision', 'svm', '-s', '*', '--wait'], {
      onStderr: (text) => {
        if (!text.includes('began') || node.rollouts.get(1)?.state !== 'running') return;
        node.tasks.push(
          taskSchema.parse({
            id: 1,
            rollout: 1,
            gateway: 'gw-2',
            state: 'failed',
            strategy: 'push',
            canceling: false,
            createdAt: 1,
            updatedAt: 2,
            message: 'control/install ended with 3: no disk',
          }),
        );
        move(node, 'failed', { succeeded: 1, failed: 1 });
      },
    });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^rollout 1 failed in 1\.5 s: 1 succeeded, 1 failed\n {2}gw-2 failed: control\/install ended with 3: no disk\n {2}why, step by step: leonore task show \d+\n {2}once the cause is mended: leonore rollout retry 1$/m,
    );
  });

  it('a watch outlives a cut stream', async () => {
    await run(['provision', 'svm', '-s', '*']);
    const watching = run(['rollout', 'watch', '1', '-o', 'name']);
    while (node.openStreams() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    node.cutStreams();
    while (node.openStreams() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    move(node, 'succeeded', { succeeded: 2 });
    assert.deepEqual([(await watching).code, (await watching).stdout], [0, '1\n']);
  });

  it('Ctrl-C leaves the rollout alone and says how to look again', async () => {
    let killed = false;
    const { code, stderr } = await run(['provision', 'svm', '-s', '*', '--wait'], {
      onStderr: (text, child) => {
        if (killed || !text.includes('began')) return;
        killed = true;
        child.kill('SIGINT');
      },
    });
    assert.equal(code, 130);
    assert.match(stderr, /leonore rollout watch 1/);
    assert.equal(node.rollouts.get(1)?.state, 'running');
  });

  it('--timeout ends the watching with 1', async () => {
    const { code, stderr } = await run(['provision', 'svm', '-s', '*', '--wait', '--timeout', '300ms']);
    assert.equal(code, 1);
    assert.match(stderr, /error: rollout 1 did not end within 0\.3 s: 2 waiting; it goes on/);
  });

  it('pauses, resumes, aborts; what cannot be is said', async () => {
    await run(['provision', 'svm', '-s', '*']);
    assert.match((await run(['rollout', 'pause', '1'])).stdout, /^rollout 1 paused: 2 waiting\n$/);
    assert.equal((await run(['rollout', 'pause', '1'])).code, 1);
    assert.equal((await run(['rollout', 'resume', '1', '-o', 'name'])).stdout, '1\n');
    assert.match((await run(['rollout', 'abort', '1'])).stdout, /aborted/);
    assert.match((await run(['rollout', 'list'])).stdout, /^ID +STATE[\s\S]*1 +aborted +0 % +2 +0 +auto +svm +\*/);
  });
});
