/** What ends the agent each time it comes by: five times, then the loop is cut, what was before runs, and it is told. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DdiFeedback } from '@leonore/protocol';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, kill, startAgentProcess } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, offerTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

/** An agent that is started again whenever it ends, as a service manager does it. */
async function bench() {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const { logger: _logger, ...options } = agentOptions(server, root, { applicationUsers: 'agent' });
  let ended = false;
  let starts = 0;
  let child: ChildProcess | undefined;
  const start = (): void => {
    starts += 1;
    child = startAgentProcess(options);
    child.once('exit', () => {
      if (!ended) start();
    });
  };
  start();
  stack.defer(async () => {
    ended = true;
    if (child) await kill(child);
  });
  const at = (...parts: string[]): string => join(root, ...parts);
  const task = async (sketch: TaskSketch): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`end of task ${sketch.id}`, () => server.closed(String(sketch.id)), 60_000);
  };
  const inOrder = (version: string): Promise<unknown> =>
    until(
      `nothing but sensor ${version}`,
      async () => {
        const runs = (await findMarked(at('data/sensor'))).map((one) => `${one.script} ${one.version}`).join();
        const holds = (await readdir(at('components/sensor'))).toSorted().join();
        return runs === `start ${version}` && holds === `${version},current`;
      },
      60_000,
    );
  return {
    server,
    at,
    task,
    inOrder,
    work: work.path,
    starts: () => starts,
    killNow: () => child?.kill('SIGKILL'),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');
const sensor = (version: string, sketch: Partial<ArtifactSketch> = {}): ArtifactSketch => ({
  name: 'sensor',
  version,
  installPath: '/opt/sensor',
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  ...sketch,
});
const END_THE_AGENT = 'kill -9 $PPID; sleep 1';

void test('control/install or control/health ends the agent: tried five times, then reported; the next task goes well', async () => {
  await using gateway = await bench();
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  for (const [index, script] of (['install', 'health'] as const).entries()) {
    const before = gateway.starts();
    const report = await gateway.task({
      id: 2 + index,
      components: [sensor('2.0.0', { control: { [script]: END_THE_AGENT } })],
    });
    assert.equal(report.status.result.finished, 'failure', script);
    assert.match(
      said(report),
      /installing was begun 5 times and the agent was stopped in the middle each time; given up/,
    );
    assert.equal(gateway.starts() - before, 5, script);
    await gateway.inOrder('1.0.0');
  }
  const report = await gateway.task({ id: 9, components: [sensor('2.0.0')] });
  assert.equal(report.status.result.finished, 'success', said(report));
});

void test('control/stop ends the agent on the way back: after five runs it is killed without being asked', async () => {
  await using gateway = await bench();
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  const control = { stop: END_THE_AGENT, health: 'exit 1' };
  const report = await gateway.task({
    id: 2,
    components: [sensor('2.0.0', { control, run: { healthTimeoutSeconds: 1 } })],
  });
  assert.equal(report.status.result.finished, 'failure');
  assert.match(said(report), /not healthy/, 'why it went back is not lost');
  await gateway.inOrder('1.0.0');
  const next = await gateway.task({ id: 3, components: [sensor('3.0.0')] });
  assert.equal(next.status.result.finished, 'success', said(next));
});

void test('control/uninstall ends the agent behind the commit: after five runs the rest is done without it', async () => {
  await using gateway = await bench();
  const extra: ArtifactSketch = { name: 'extra', run: null, control: { uninstall: END_THE_AGENT } };
  await gateway.task({ id: 1, components: [sensor('1.0.0'), extra] });
  const remove = [{ name: 'extra', version: '1.0.0' }];
  const report = await gateway.task({ id: 2, components: [sensor('2.0.0')], remove });
  assert.equal(report.status.result.finished, 'success', said(report));
  await gateway.inOrder('2.0.0');
  await until('extra is gone', async () => !(await readdir(gateway.at('components'))).includes('extra'), 60_000);
  await until('it is over', async () => !(await readdir(gateway.at('.'))).includes('journal'));
  assert.ok(gateway.starts() <= 8, `${gateway.starts()} starts`);
});

void test('killed five times while it unpacks: given up and told, though the download was whole', async () => {
  await using gateway = await bench();
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  // Each file is flushed by itself, so that unpacking takes its time.
  const files = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`file-${index}`, randomBytes(20)]));
  await offerTask(gateway.server, gateway.work, { id: 2, components: [sensor('2.0.0', { binary: files })] });
  const staged = gateway.at('staging/2/binary/sensor');
  for (let count = 1; count <= 5; count++) {
    await until(`unpacking ${count}`, async () => (await readdir(staged).catch(() => [])).length > 5, 30_000);
    const before = gateway.starts();
    gateway.killNow();
    await until('the next start', () => gateway.starts() > before);
    await until(
      'staging is empty',
      async () => (await readdir(gateway.at('staging'))).length === 0 || gateway.server.closed('2') !== undefined,
      30_000,
    );
  }
  const report = await until('the end', () => gateway.server.closed('2'), 30_000);
  assert.equal(report.status.result.finished, 'failure');
  assert.match(said(report), /unpacking was begun 5 times and the agent was stopped in the middle each time; given up/);
  await gateway.inOrder('1.0.0');
});
