/** What scripts and applications do wrong: ended with all that came of them, rolled back in time, in a log that stays small. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DdiFeedback } from '@leonore/protocol';
import type { AgentOptions } from '../agent/mod.ts';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, offerTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

async function bench(change: Partial<AgentOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  stack.use(startAgent(agentOptions(server, root, { applicationUsers: 'agent', ...change })));
  const at = (...parts: string[]): string => join(root, ...parts);
  const task = async (sketch: TaskSketch): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`end of task ${sketch.id}`, () => server.closed(String(sketch.id)), 30_000);
  };
  const processes = async (): Promise<string> =>
    (await findMarked(at('data/sensor'))).map((one) => `${one.script} ${one.version}`).join();
  const inOrder = (version: string): Promise<unknown> =>
    until(`nothing but sensor ${version}`, async () => {
      const holds = (await readdir(at('components/sensor'))).toSorted().join();
      return (await processes()) === `start ${version}` && holds === `${version},current`;
    });
  return { server, at, task, inOrder, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');
const sensor = (version: string, sketch: Partial<ArtifactSketch> = {}): ArtifactSketch => ({
  name: 'sensor',
  version,
  installPath: '/opt/sensor',
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  ...sketch,
});
const LEAVE_THE_GROUP =
  'setsid sleep 300 >/dev/null 2>&1 </dev/null & setsid sh -c "trap \'\' TERM; sleep 300" & sleep 0.1';

void test('scripts that hang, fork daemons, flood, fail, kill themselves: rolled back, nothing of them is left', async () => {
  await using gateway = await bench({
    tuning: { container: { initialMs: 50, maxMs: 200, settleMs: 200, tickMs: 50, scriptMs: 1500 } },
  });
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  const health = { run: { healthTimeoutSeconds: 1 } };
  const cases: readonly { what: string; sketch: Partial<ArtifactSketch>; why: RegExp }[] = [
    {
      what: 'install hangs',
      sketch: { control: { install: 'sleep 300' } },
      why: /control\/install was killed: it did not end within 1\.5 s/,
    },
    {
      what: 'install ignores SIGTERM and hangs',
      sketch: { control: { install: 'trap "" TERM INT HUP; while :; do sleep 1; done' } },
      why: /did not end/,
    },
    {
      what: 'install leaves daemons and fails',
      sketch: { control: { install: `${LEAVE_THE_GROUP}; exit 4` } },
      why: /exit code 4/,
    },
    {
      what: 'install floods and fails',
      sketch: { control: { install: 'yes flood | head -c 30000000; echo last words; exit 5' } },
      why: /exit code 5[^]*last words/,
    },
    { what: 'install kills itself', sketch: { control: { install: 'kill -9 $$' } }, why: /killed by SIGKILL/ },
    {
      what: 'start ends at once',
      sketch: { control: { start: 'echo bye; exit 1' } },
      why: /exit code 1 right after its start[^]*bye/,
    },
    { what: 'start ends well at once', sketch: { control: { start: 'exit 0' } }, why: /right after its start/ },
    {
      what: 'start leaves daemons and ends',
      sketch: { control: { start: `${LEAVE_THE_GROUP}; exit 1` } },
      why: /right after its start/,
    },
    { what: 'health hangs', sketch: { ...health, control: { health: 'sleep 300' } }, why: /not healthy/ },
    {
      what: 'health leaves daemons and fails',
      sketch: { ...health, control: { health: `${LEAVE_THE_GROUP}; exit 1` } },
      why: /not healthy/,
    },
    {
      what: 'health fails',
      sketch: { ...health, control: { health: 'echo no pulse; exit 1' } },
      why: /not healthy within 1 s[^]*no pulse/,
    },
  ];
  for (const [index, { what, sketch, why }] of cases.entries()) {
    const report = await gateway.task({ id: 2 + index, components: [sensor('2.0.0', sketch)] });
    assert.equal(report.status.result.finished, 'failure', what);
    assert.match(said(report), why, what);
    assert.match(said(report), /rolled back to sensor 1\.0\.0/, what);
    assert.ok(Buffer.byteLength(JSON.stringify(report)) < 100_000, `${what}: the report stays small`);
    await gateway.inOrder('1.0.0').catch((error: unknown) => assert.fail(`${what}: ${String(error)}`));
  }
});

void test('health that flaps is not health: it must hold on end, at every look', async () => {
  await using gateway = await bench();
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  const everyOther =
    'n=$(cat "$LEONORE_BINARY_DIR/n" 2>/dev/null || echo 0); echo $((n+1)) > "$LEONORE_BINARY_DIR/n"; ';
  const flaps = { run: { healthTimeoutSeconds: 2 }, control: { health: `${everyOther}test $((n % 2)) = 1` } };
  const report = await gateway.task({ id: 2, components: [sensor('2.0.0', flaps)] });
  assert.equal(report.status.result.finished, 'failure');
  assert.match(said(report), /not healthy for 0\.2 s on end \(at \d+ looks it was\) within 2 s/);
  await gateway.inOrder('1.0.0');
  // What needs a moment to be well is, after it.
  const late = { run: { healthTimeoutSeconds: 10 }, control: { health: `${everyOther}test $n -ge 3` } };
  const done = await gateway.task({ id: 3, components: [sensor('2.0.0', late)] });
  assert.equal(done.status.result.finished, 'success', said(done));
  await gateway.inOrder('2.0.0');
});

void test('an application that floods its log has two small ones, and runs on', async () => {
  await using gateway = await bench({ tuning: { maxLogBytes: 100_000 } });
  const flood =
    'yes "a line that says nothing" | head -c 20000000; echo done > "$LEONORE_DATA_DIR/done"; exec sleep 300';
  const report = await gateway.task({ id: 1, components: [sensor('1.0.0', { control: { start: flood } })] });
  assert.equal(report.status.result.finished, 'success', said(report));
  await until('the flood is over', () =>
    readFile(gateway.at('data/sensor/done')).then(
      () => true,
      () => false,
    ),
  );
  await until('the logs are small', async () => {
    const sizes = await Promise.all(
      ['sensor.log', 'sensor.log.1'].map((name) => stat(gateway.at('logs', name)).catch(() => ({ size: 0 }))),
    );
    return sizes.every(({ size }) => size <= 100_000);
  });
  await until('it runs', async () =>
    (await findMarked(gateway.at('data/sensor'))).some(({ script }) => script === 'start'),
  );
});

void test('the clock jumps to 1970 and to 2099 while it installs: it ends well, and the next task is taken', async () => {
  let now = Date.now;
  await using gateway = await bench({ tuning: { now: () => now() } });
  await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  for (const [index, year] of [1970, 2099].entries()) {
    const there = Date.UTC(year, 0, 2);
    const go = `until test -e "$LEONORE_DATA_DIR/go-${year}"; do sleep 0.05; done`;
    const version = `${2 + index}.0.0`;
    const replaces = `${1 + index}.0.0`;
    const offered = gateway.task({
      id: 2 + index,
      components: [sensor(version, { replaces, control: { install: go } })],
    });
    await until('the script', () =>
      gateway.server.reports.some(
        ({ actionId, report }) => actionId === String(2 + index) && said(report).includes('control/install'),
      ),
    );
    now = () => there;
    await writeFile(gateway.at(`data/sensor/go-${year}`), '');
    const report = await offered;
    assert.equal(report.status.result.finished, 'success', `${year}: ${said(report)}`);
    await gateway.inOrder(version);
  }
  now = Date.now;
  const report = await gateway.task({ id: 4, components: [sensor('4.0.0', { replaces: '3.0.0' })] });
  assert.equal(report.status.result.finished, 'success', said(report));
});

void test('a version goes down only when the task says that it is meant, and then may go up again', async () => {
  await using gateway = await bench();
  await gateway.task({ id: 1, components: [{ name: 'sensor', version: '2.0.0', installPath: '/opt/sensor' }] });
  const down = sensor('1.5.0', { replaces: '2.0.0' });
  const refused = await gateway.task({ id: 2, components: [down] });
  assert.equal(refused.status.execution, 'rejected');
  assert.match(said(refused), /brings sensor 1\.5\.0, which is older than the 2\.0\.0 that was installed here/);
  await gateway.inOrder('2.0.0');
  const meant = await gateway.task({ id: 3, components: [down], downgrade: ['sensor'] });
  assert.equal(meant.status.result.finished, 'success', said(meant));
  await gateway.inOrder('1.5.0');
  const up = await gateway.task({ id: 4, components: [sensor('1.6.0', { replaces: '1.5.0' })] });
  assert.equal(up.status.result.finished, 'success', said(up));
  await gateway.task({ id: 5, remove: [{ name: 'sensor', version: '1.6.0' }] });
  const anew = await gateway.task({ id: 6, components: [{ name: 'sensor', version: '1.0.0' }] });
  assert.equal(anew.status.result.finished, 'success', 'what was removed on purpose comes in any version');
});
