import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import {
  DEFAULT_HANDLING,
  EMPTY_PROFILE,
  type Gateway,
  NO_TASKS,
  type Rollout,
  rolloutSchema,
  type Task,
  taskSchema,
} from '@leonore/protocol';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

const AT = 1_700_000_000_000;

const OUTCOME = {
  failure: {
    kind: 'check',
    label: 'check the health of svm 1.2.28',
    component: { name: 'svm', version: '1.2.28' },
    why: 'it was not healthy within 30 s: control/health ended with exit code 3',
    code: 'agent.unhealthy',
    exitCode: 3,
    durationMs: 30_200,
    output: ['connecting to 10.0.0.3', 'refused \u001B[31m'],
  },
  attempts: 2,
  interrupted: ['start svm 1.2.28'],
  download: { bytes: 4_300_000, of: 12_000_000, durationMs: 4300, interruptions: 1 },
  steps: [
    { kind: 'download', label: 'download the package', afterMs: 0, durationMs: 4300 },
    { kind: 'start', label: 'start svm 1.2.28', afterMs: 4400, durationMs: 100 },
    { kind: 'check', label: 'check the health of svm 1.2.28', afterMs: 4500, durationMs: 30_200 },
  ],
  rolledBack: { faults: [] },
  running: [{ name: 'svm', version: '1.2.27', state: 'running' }],
};

function task(id: number, extra: object = {}): Task {
  const base = {
    id,
    rollout: 3,
    gateway: 'gw',
    strategy: 'push',
    deliveredBy: 'pull',
    canceling: false,
    createdAt: AT,
  };
  return taskSchema.parse({ ...base, updatedAt: AT + 60_000, endedAt: AT + 60_000, state: 'failed', ...extra });
}

const failed = (extra: object = {}): Task =>
  task(42, {
    message: 'could not check the health of svm 1.2.28',
    transitions: [
      { state: 'pending', at: AT, messages: [] },
      { state: 'installing', at: AT + 20_000, messages: ['start svm 1.2.28'], progress: { count: 2, of: 3 } },
      { state: 'failed', at: AT + 60_000, messages: ['could not check', 'refused'], outcome: OUTCOME },
    ],
    ...extra,
  });

const ROLLOUT: Rollout = rolloutSchema.parse({
  id: 3,
  applications: [{ name: 'svm', range: '^1.2' }],
  remove: [],
  selector: 'site=vienna',
  strategy: 'auto',
  deadlines: { pending: 1, offered: 1, downloading: 1, installing: 1 },
  upgrade: false,
  handling: DEFAULT_HANDLING,
  state: 'failed',
  planned: true,
  counts: { ...NO_TASKS, total: 9, failed: 4 },
  createdAt: AT,
});

const GATEWAY: Gateway = {
  id: 'gw',
  profile: {
    ...EMPTY_PROFILE,
    installed: [{ name: 'svm', version: '1.2.27', requested: true, state: 'running' }] as never,
  },
  labels: {},
  connected: true,
  enrolledAt: AT,
  desired: [],
};

describe('leonore task', { timeout: 120_000 }, () => {
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
    node.tasks.length = 0;
    node.rollouts.clear();
    node.gateways.clear();
  });

  it('show says on one screen why it was rolled back, what runs now, and how to go on', async () => {
    node.gateways.set('gw', GATEWAY);
    node.rollouts.set(3, ROLLOUT);
    node.tasks.push(task(38, { message: 'no space' }), failed());
    const { code, stdout } = await run(['task', 'show', '42']);
    assert.equal(code, 0);
    assert.match(stdout, /task +42 {2}failed/);
    assert.match(stdout, /rollout +3 {2}failed {2}svm@\^1\.2 for site=vienna/);
    assert.match(stdout, /strategy +pull; push was meant/);
    assert.match(stdout, /WHY\n {2}it was not healthy within 30 s/);
    assert.match(
      stdout,
      /step +check the health of svm 1\.2\.28\n {2}ended by +exit code 3\n {2}ran for +30 s\n {2}begun +2 times\n {2}cut off in +start svm 1\.2\.28\n {2}rolled back +yes, cleanly/,
    );
    assert.match(stdout, /LAST LINES\n {2}\| connecting to 10\.0\.0\.3\n {2}\| refused \uFFFD\[31m\n/);
    assert.match(stdout, /RUNS NOW\n.*\n {2}svm +1\.2\.27 +running\n/);
    assert.match(stdout, /0\.0 s +4\.3 s +download the package +4\.1 MiB of 11\.4 MiB, 977 KiB\/s, broke off once\n/);
    assert.match(stdout, /4\.5 s +30 s +check the health of svm 1\.2\.28 +failed\n/);
    assert.match(stdout, /BEFORE\n {2}task 38 failed .* ago: no space\n/);
    assert.match(stdout, /leonore rollout retry 3 +try again/);
    assert.match(stdout, /leonore artifact withdraw svm@1\.2\.28 +4 gateways failed/);
    assert.ok(stdout.split('\n').length < 45, stdout);
  });

  it('show keeps to what is known of a gateway of another maker that was removed since', async () => {
    node.tasks.push(
      failed({
        transitions: [
          { state: 'offered', at: AT, messages: [] },
          { state: 'failed', at: AT + 1000, messages: ['write error', 'Device reported status code: 5'] },
        ],
      }),
    );
    const { code, stdout, stderr } = await run(['task', 'show', '42']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /WHY\n {2}could not check/);
    assert.match(
      stdout,
      /HISTORY\n.*offered\n.*failed {2}\+1\.0 s\n {6}write error\n {6}Device reported status code: 5\n/,
    );
    assert.doesNotMatch(stdout, /RUNS NOW|STEPS|LAST LINES|rollout retry/);
  });

  it('show tells of one under way how far it is and how to watch it', async () => {
    node.gateways.set('gw', GATEWAY);
    node.rollouts.set(3, { ...ROLLOUT, state: 'running' });
    node.tasks.push(
      failed({
        state: 'installing',
        endedAt: undefined,
        transitions: [{ state: 'installing', at: AT, messages: ['start svm'], progress: { count: 2, of: 3 } }],
      }),
    );
    const { stdout } = await run(['task', 'show', '42']);
    assert.match(stdout, /installing {2}2 of 3\n {6}start svm/);
    assert.match(stdout, /leonore gateway logs gw --task 42 --follow/);
    assert.doesNotMatch(stdout, /WHY|RUNS NOW/);
  });

  it('-o json has the whole task; an unknown one is an error that says so', async () => {
    node.tasks.push(failed());
    assert.deepEqual(JSON.parse((await run(['task', 'show', '42', '-o', 'json'])).stdout), node.tasks[0]);
    const unknown = await run(['task', 'show', '7']);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /no such task/);
  });

  it('gateway logs --task shows that one, and refuses one of another gateway', async () => {
    node.gateways.set('gw', GATEWAY).set('other', { ...GATEWAY, id: 'other' });
    node.tasks.push(task(38), failed());
    const { stdout } = await run(['gateway', 'logs', 'gw', '--task', '42', '--follow']);
    assert.match(stdout, /^task 42 of rollout 3/);
    assert.match(stdout, /installing {2}2 of 3 {2}\+20 s\n {6}start svm 1\.2\.28\n/);
    assert.doesNotMatch(stdout, /task 38/);
    const wrong = await run(['gateway', 'logs', 'other', '--task', '42']);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /task 42 is one of gateway gw, not of other; leonore task show 42/);
  });

  it('gateway logs --task --follow ends with the task', async () => {
    node.gateways.set('gw', GATEWAY);
    node.tasks.push(failed({ state: 'installing', endedAt: undefined, transitions: [] }));
    const { code, stdout } = await run(['gateway', 'logs', 'gw', '--task', '42', '-f'], {
      onStdout: () => {
        if (node.tasks[0]?.state !== 'installing') return;
        node.tasks[0] = failed();
        node.emit({ type: 'task', task: node.tasks[0] });
      },
    });
    assert.equal(code, 0);
    assert.match(stdout, /took 1 min 00 s; why: leonore task show 42\n$/);
  });

  it('gateway show ends with its last task', async () => {
    node.gateways.set('gw', GATEWAY);
    node.tasks.push(task(38), failed());
    const { stdout } = await run(['gateway', 'show', 'gw']);
    assert.match(
      stdout,
      /LAST TASK\n {2}task +42 of rollout 3: failed .* ago\n {2}said +could not check.*\n {2}ended by +exit code 3\n {2}more +leonore task show 42\n$/,
    );
    const { lastTask, ...rest } = JSON.parse((await run(['gateway', 'show', 'gw', '-o', 'json'])).stdout);
    assert.deepEqual([lastTask, rest], [node.tasks[1], GATEWAY]);
  });
});
