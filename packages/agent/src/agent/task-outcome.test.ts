/** What the report of a task's end says in facts: the step, how it ended, its last words, what was tried, what runs now. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DdiFeedback, TaskOutcome } from '@leonore/protocol';
import { agentOptions, applicationsOf, kill, startAgent, startAgentProcess } from '../test-support/agents.ts';
import { cutAfter, startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, offerTask } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import type { AgentTuning } from './options.ts';

async function bench(tuning: AgentTuning = {}) {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const options = agentOptions(server, root, { tuning });
  const start = () => stack.use(startAgent(options));
  const task = async (sketch: Parameters<typeof offerTask>[2]): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`the end of task ${sketch.id}`, () => server.closed(String(sketch.id)));
  };
  return { server, options, work: work.path, start, task, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const APP: ArtifactSketch = { name: 'app', control: { start: 'echo up; exec sleep 300' } };
const outcomeOf = ({ outcome }: DdiFeedback): TaskOutcome => {
  assert.ok(outcome);
  return outcome;
};
const kinds = ({ steps }: TaskOutcome): string => steps.map(({ kind }) => kind).join(' ');

void test('a success: every step, what came over the air, what runs; each step was told of by its number', async () => {
  await using gateway = await bench();
  gateway.start();
  const outcome = outcomeOf(await gateway.task({ id: 1, components: [APP] }));
  assert.equal(outcome.failure, undefined);
  assert.equal(kinds(outcome), 'accept download unpack plan place install activate start check');
  assert.deepEqual([outcome.attempts, outcome.rolledBack, outcome.interrupted], [1, undefined, undefined]);
  assert.equal(outcome.download?.bytes, outcome.download?.of);
  assert.equal(outcome.download?.interruptions, 0);
  assert.deepEqual(outcome.running, [{ name: 'app', version: '1.0.0', state: 'running' }]);
  const check = outcome.steps.at(-1);
  assert.ok(check && check.durationMs >= 150, 'it was watched before it counted as healthy');
  const told = gateway.server.reports.flatMap(({ report: { status } }) =>
    status.execution === 'proceeding' ? [status] : [],
  );
  assert.deepEqual(
    told.map(({ result, details }) => [result.progress?.cnt, result.progress?.of, details?.[0]]),
    [
      [1, 5, 'put app 1.0.0 in place'],
      [2, 5, 'run control/install of app 1.0.0'],
      [3, 5, 'activate app 1.0.0'],
      [4, 5, 'start app 1.0.0'],
      [5, 5, 'check the health of app 1.0.0'],
    ],
  );
});

void test('a health check that fails: its exit code and words, and that the former version runs', async () => {
  await using gateway = await bench();
  gateway.start();
  await gateway.task({ id: 1, components: [APP] });
  const sick: ArtifactSketch = {
    ...APP,
    version: '1.1.0',
    replaces: '1.0.0',
    run: { healthTimeoutSeconds: 1 },
    control: { ...APP.control, health: 'echo no database; exit 7' },
  };
  const outcome = outcomeOf(await gateway.task({ id: 2, components: [sick] }));
  const { failure } = outcome;
  assert.ok(failure);
  assert.match(failure.why, /^it was not healthy within 1 s: control\/health ended with exit code 7$/);
  assert.deepEqual(
    [failure.kind, failure.label, failure.code, failure.exitCode, failure.output[0]],
    ['check', 'check the health of app 1.1.0', 'agent.unhealthy', 7, 'no database'],
  );
  assert.deepEqual(failure.component, { name: 'app', version: '1.1.0' });
  assert.ok(failure.durationMs >= 900, String(failure.durationMs));
  assert.equal(kinds(outcome), 'accept download unpack plan place stop install activate start check');
  assert.deepEqual(outcome.rolledBack, { faults: [] });
  assert.deepEqual(
    outcome.running.map(({ name, version }) => `${name} ${version}`),
    ['app 1.0.0'],
  );
});

void test('an application or a script that ends: by which code or signal', async () => {
  await using gateway = await bench();
  gateway.start();
  const failureOf = async (id: number, control: Record<string, string>) =>
    outcomeOf(await gateway.task({ id, components: [{ ...APP, control }] })).failure;
  const exited = await failureOf(1, { start: 'echo oops; exit 3' });
  assert.deepEqual([exited?.kind, exited?.exitCode, exited?.signal, exited?.output], ['check', 3, undefined, ['oops']]);
  const killed = await failureOf(2, { start: 'kill -SEGV $$' });
  assert.deepEqual([killed?.kind, killed?.exitCode, killed?.signal], ['check', undefined, 'SIGSEGV']);
  const script = await failureOf(3, { start: 'exec sleep 300', install: 'echo one; echo two >&2; exit 12' });
  assert.deepEqual([script?.kind, script?.exitCode, script?.output], ['install', 12, ['one', 'two']]);
  const struck = await failureOf(4, { start: 'exec sleep 300', install: 'kill -9 $$' });
  assert.deepEqual([struck?.kind, struck?.signal], ['install', 'SIGKILL']);
});

void test('a refusal and a package that is not sound are steps, too', async () => {
  await using gateway = await bench();
  gateway.start();
  const refused = outcomeOf(await gateway.task({ id: 1, components: [APP], platform: { os: 'plan9' } }));
  assert.deepEqual([refused.failure?.kind, refused.attempts, refused.running], ['accept', 0, []]);
  assert.match(refused.failure?.why ?? '', /os plan9/);
  const damage = (bytes: Buffer): Buffer => bytes.fill(0, 0, 50);
  const damaged = outcomeOf(await gateway.task({ id: 2, components: [APP], damage }));
  assert.deepEqual([damaged.failure?.kind, kinds(damaged)], ['verify', 'accept download verify']);
  assert.ok(damaged.download);
});

void test('a download that breaks off and takes long: how often, and how far it is meanwhile', async () => {
  await using gateway = await bench({ progressMs: 50 });
  const { server } = gateway;
  let cuts = 0;
  server.intercept = (request, response) => {
    if (!request.path.startsWith('/packages/') || cuts === 3) return false;
    cuts += 1;
    cutAfter(server, request, response, 300);
    return true;
  };
  gateway.start();
  const random = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * index * 7919) % 251));
  const outcome = outcomeOf(await gateway.task({ id: 1, components: [{ ...APP, binary: { data: random } }] }));
  assert.equal(outcome.download?.interruptions, 3);
  const told = server.reports.flatMap(({ report: { status } }) =>
    status.execution === 'download' && status.details ? [{ ...status.result.progress, words: status.details[0] }] : [],
  );
  assert.ok(told[0], 'it took more than 50 ms');
  assert.ok((told[0].cnt ?? 0) > 0 && (told[0].cnt ?? 0) <= (told[0].of ?? 0));
  assert.match(told[0].words ?? '', /of at most .* are here/);
  assert.ok(told.length < 10, 'ever more rarely');
});

void test('an agent that is killed in the middle says at last in which step it was, and how often', async () => {
  await using gateway = await bench();
  const slow: ArtifactSketch = {
    ...APP,
    control: { ...APP.control, install: '[ -e "$LEONORE_DATA_DIR/../../go" ] || sleep 60' },
  };
  const { logger: _logger, ...options } = gateway.options;
  const installing = (count: number): Promise<unknown> =>
    until(
      'it installs',
      () =>
        gateway.server.reports.filter(({ report }) => report.status.details?.[0]?.includes('control/install')).length >=
        count,
    );
  await offerTask(gateway.server, gateway.work, { id: 1, components: [slow] });
  for (const round of [1, 2]) {
    const agent = startAgentProcess(options);
    await installing(round);
    await kill(agent);
  }
  const { writeFile } = await import('node:fs/promises');
  await writeFile(join(options.root, 'go'), '');
  gateway.start();
  const outcome = outcomeOf(await until('the end', () => gateway.server.closed('1')));
  const step = 'run control/install of app 1.0.0';
  assert.deepEqual([outcome.failure, outcome.attempts, outcome.interrupted], [undefined, 3, [step, step]]);
});
