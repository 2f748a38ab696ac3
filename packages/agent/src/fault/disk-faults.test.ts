/** The disk runs full or read-only: refused early, or rolled back; the old application runs; the report says why. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { DdiFeedback } from '@leonore/protocol';
import type { AgentOptions } from '../agent/mod.ts';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, makeTask, offerTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { smallDisk } from './small-disk.ts';

const DISK_BYTES = 4 * 2 ** 20;
const PLENTY: AgentOptions['tuning'] = { freeBytes: async () => 1e12 };

/** A gateway on a small disk, with sensor 1.0.0. */
async function bench(t: TestContext, change: Partial<AgentOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const made = await smallDisk(DISK_BYTES);
  if (!made) {
    t.skip('takes root that may mount a tmpfs');
    return undefined;
  }
  const disk = stack.use(made);
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(disk.path, 'gateway');
  stack.use(applicationsOf(root));
  const options = agentOptions(server, root, { applicationUsers: 'agent', ...change });
  const agent = stack.use(startAgent(options));
  const task = async (sketch: TaskSketch): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`end of task ${sketch.id}`, () => server.closed(String(sketch.id)), 20_000);
  };
  const running = async (): Promise<string[]> =>
    (await findMarked(join(root, 'data/sensor')))
      .filter((one) => one.script === 'start')
      .map((one) => one.version ?? '');
  const runs = (version: string): Promise<unknown> =>
    until(`sensor ${version} runs`, async () => (await running()).join() === version);
  return { disk, server, root, agent, options, task, runs, stack, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');
const sensor = (version: string, sketch: Partial<ArtifactSketch> = {}): ArtifactSketch => ({
  name: 'sensor',
  version,
  installPath: '/opt/sensor',
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  ...sketch,
});

void test('less room than the download, twice what is unpacked and the reserve: refused when the header is here', async (t) => {
  await using gateway = await bench(t);
  if (!gateway) return;
  const report = await gateway.task({ id: 1, components: [sensor('1.0.0')] });
  assert.equal(report.status.execution, 'rejected');
  assert.match(said(report), /not enough disk space: 20\.\d MiB needed .*, [34]\.\d MiB free/);
});

void test('somebody else fills the disk while a download goes on: it ends before the reserve is touched, and goes on later', async () => {
  await using work = await temporaryFolder();
  await using server = await startFakeServer();
  let free = 1e9;
  const root = join(work.path, 'gateway');
  await using _agent = startAgent(agentOptions(server, root, { tuning: { freeBytes: async () => free } }));
  const noise = randomBytes(2_000_000);
  const made = await makeTask(server, work.path, {
    id: 1,
    components: [{ name: 'big', run: null, binary: { noise } }],
  });
  const half = Math.floor(made.bytes.length / 2);
  server.intercept = (request, response) => {
    if (request.path !== made.path) return false;
    response.writeHead(200, { 'content-length': made.bytes.length, etag: server.packages.get(made.path)?.etag ?? '' });
    response.write(made.bytes.subarray(0, half));
    void until('half of it', async () => (await held()) === half).then(() => {
      free = 20 * 2 ** 20;
      response.end(made.bytes.subarray(half));
    });
    return true;
  };
  const held = async (): Promise<number> => {
    const names = (await readdir(join(root, 'downloads'))).filter((name) => name.endsWith('.part'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(root, 'downloads', name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  server.offered = made.deployment;
  const report = await until('the end', () => server.closed('1'));
  assert.match(said(report), /no space left for the package: 20\.0 MiB free, of which 20\.0 MiB are kept free/);
  assert.equal(await held(), half, 'what is here stays for the next try');
  free = 1e9;
  server.intercept = () => false;
  server.sent.length = 0;
  const again = await makeTask(server, work.path, {
    id: 2,
    components: [{ name: 'big', run: null, binary: { noise } }],
  });
  server.offered = again.deployment;
  const done = await until('the end', () => server.closed('2'));
  assert.equal(done.status.result.finished, 'success', said(done));
  assert.ok(server.sent.reduce((sum, { bytes }) => sum + bytes, 0) < 0.6 * made.bytes.length);
});

void test('full anywhere between the first byte of a task and its last: failed or done, one version runs, the next task succeeds', async (t) => {
  await using gateway = await bench(t, { tuning: PLENTY });
  if (!gateway) return;
  const { disk, task, runs, root } = gateway;
  const noise = (): Buffer => randomBytes(150_000);
  let version = 0;
  let current = '';
  const next = (): TaskSketch => {
    version += 1;
    const component = sensor(`1.0.${version}`, { binary: { noise: noise() } });
    const { replaces: _, ...fresh } = component;
    return { id: version, components: [current === '' ? fresh : { ...component, replaces: current }] };
  };
  const succeed = async (): Promise<void> => {
    const sketch = next();
    const report = await task(sketch);
    assert.equal(report.status.result.finished, 'success', said(report));
    current = sketch.components?.[0]?.version ?? '';
    await runs(current);
  };
  await succeed();
  const outcomes = new Set<string>();
  for (const leave of [0, 4096, 8192, 16_384, 40_000, 80_000, 160_000, 200_000, 320_000, 330_000, 340_000, 400_000]) {
    await disk.fill(leave);
    const sketch = next();
    const report = await task(sketch);
    if (report.status.result.finished === 'success') current = sketch.components?.[0]?.version ?? '';
    else assert.match(said(report), /no space left/i, `${leave} bytes left`);
    outcomes.add(report.status.result.finished);
    await runs(current);
    assert.deepEqual(
      report.installed?.map((one) => one.version),
      [current],
    );
    await disk.empty();
    await succeed();
    await until('nothing is left over', async () => {
      const folders = await Promise.all(['downloads', 'staging', 'outbox'].map((name) => readdir(join(root, name))));
      return folders.flat().length === 0 && (await readdir(join(root, 'components/sensor'))).length === 2;
    });
  }
  assert.deepEqual([...outcomes].toSorted(), ['failure', 'success']);
});

void test('control/install, control/start or control/health fills the disk: rolled back, the old version runs, the report arrives', async (t) => {
  await using gateway = await bench(t, { tuning: PLENTY });
  if (!gateway) return;
  const { task, runs } = gateway;
  await task({ id: 1, components: [sensor('1.0.0')] });
  await runs('1.0.0');
  const fill =
    'dd if=/dev/zero of="$LEONORE_BINARY_DIR/full" bs=64k 2>/dev/null; dd if=/dev/zero of="$LEONORE_BINARY_DIR/full2" bs=1k 2>/dev/null';
  const control: Record<string, string>[] = [
    { install: fill },
    { install: `${fill}; exit 1` },
    { start: `${fill}; exec sleep 300`, health: 'test -e "$LEONORE_BINARY_DIR/full2" && exit 1' },
    { health: `${fill}; exit 1` },
  ];
  for (const [index, scripts] of control.entries()) {
    const report = await task({
      id: 2 + index,
      components: [sensor('2.0.0', { control: scripts, run: { healthTimeoutSeconds: 1 } })],
    });
    assert.equal(report.status.result.finished, 'failure', Object.keys(scripts).join());
    await runs('1.0.0');
  }
  const report = await task({ id: 9, components: [sensor('2.0.0')] });
  assert.equal(report.status.result.finished, 'success', said(report));
});

void test('an agent starts on a full disk: applications run, it reports, and works again when there is room', async (t) => {
  await using gateway = await bench(t, { tuning: PLENTY });
  if (!gateway) return;
  const { disk, task, runs, server, root, stack } = gateway;
  await task({ id: 1, components: [sensor('1.0.0')] });
  await gateway.agent.stop();
  await using _ = applicationsOf(root);
  await applicationsOf(root)[Symbol.asyncDispose]();
  await disk.fill(0);
  const agent = stack.use(startAgent(gateway.options));
  agent.ended.catch((error: unknown) => assert.fail(String(error)));
  await runs('1.0.0');
  const failed = await task({ id: 2, components: [sensor('2.0.0')] });
  assert.equal(failed.status.result.finished, 'failure');
  assert.match(said(failed), /no space left/i);
  server.reports.length = 0;
  await disk.empty();
  const done = await task({ id: 3, components: [sensor('2.0.0')] });
  assert.equal(done.status.result.finished, 'success', said(done));
});

void test('read-only from the middle on: the old version runs and the report arrives; writable again, the next task succeeds', async (t) => {
  for (const script of ['install', 'health'] as const) {
    await using gateway = await bench(t, { tuning: PLENTY });
    if (!gateway) return;
    const { disk, task, runs } = gateway;
    await task({ id: 1, components: [sensor('1.0.0')] });
    // What is open for writing keeps a disk from being made read-only.
    const control = { [script]: `exec >/dev/null 2>&1 </dev/null; ${disk.readOnlyCommand} || exit 7; exit 1` };
    const health = { run: { healthTimeoutSeconds: 1 } };
    const report = await task({ id: 2, components: [sensor('2.0.0', { control, ...health })] });
    assert.equal(report.status.result.finished, 'failure', script);
    await runs('1.0.0');
    await disk.writable();
    const done = await task({ id: 3, components: [sensor('2.0.0')] });
    assert.equal(done.status.result.finished, 'success', said(done));
    await runs('2.0.0');
  }
});
