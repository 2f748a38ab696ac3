import assert from 'node:assert/strict';
import { readdir, readFile, readlink, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHUNK_METADATA, type DdiFeedback, type InstalledComponent } from '@leonore/protocol';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { startBroker } from '../test-support/broker.ts';
import { cutAfter, type FakeServer, startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, makeTask, offerTask } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import type { AgentOptions } from './options.ts';

async function bench(change: Partial<AgentOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const options = agentOptions(server, root, change);
  const start = () => stack.use(startAgent(options));
  /** Offers a task, waits for its end. */
  const task = async (sketch: Parameters<typeof offerTask>[2]): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`end of task ${sketch.id}`, () => server.closed(String(sketch.id)));
  };
  const at = (...parts: string[]): string => join(root, ...parts);
  return { server, root, work: work.path, options, start, task, at, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const SENSOR: ArtifactSketch = { name: 'sensor', installPath: '/opt/sensor' };
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');
const result = (report: DdiFeedback): string => `${report.status.execution}/${report.status.result.finished}`;
const installedBrief = (installed: readonly InstalledComponent[] | undefined): string[] =>
  (installed ?? []).map(({ name, version, state }) => `${name} ${version} ${state}`);
const executions = (server: FakeServer, id: string): string[] => [
  ...new Set(server.reports.filter(({ actionId }) => actionId === id).map(({ report }) => report.status.execution)),
];
/** Cleaning up follows the report. */
const holds = async (folder: string, names: readonly string[]): Promise<void> => {
  await until(`${folder} holds ${names.join(' ') || 'nothing'}`, async () => {
    const found = await readdir(folder);
    return found.toSorted().join('/') === names.join('/');
  });
};
const steps = (server: FakeServer, id: string): string[] =>
  server.reports.filter(({ actionId }) => actionId === id).map(({ report }) => said(report));
const pids = async (dataDir: string): Promise<number[]> =>
  (await findMarked(dataDir)).filter(({ script }) => script === 'start').map(({ pid }) => pid);

void test('enrols, profiles itself, installs, reports each step, and says in its profile what runs', async () => {
  await using gateway = await bench({ labels: { site: 'vienna' }, profileOverrides: { arch: 'arm64' } });
  const { server } = gateway;
  gateway.start();
  const report = await gateway.task({
    id: 1,
    components: [{ ...SENSOR, control: { install: 'echo "$LEONORE_INSTALL_PATH" > "$LEONORE_DATA_DIR/installed"' } }],
    platform: { arch: 'arm64' },
  });
  assert.equal(result(report), 'closed/success', said(report));
  assert.deepEqual(executions(server, '1'), ['download', 'downloaded', 'proceeding', 'closed']);
  assert.deepEqual(installedBrief(report.installed), ['sensor 1.0.0 running']);
  const first = server.profiles[0];
  assert.equal(first?.method, 'POST', 'with the enrolment');
  assert.deepEqual(first.document['labels'], { site: 'vienna' });
  assert.equal(first.document['arch'], 'arm64');
  await until('the profile says so', () =>
    server.profiles.some(({ document }) => JSON.stringify(document['installed'])?.includes('"running"')),
  );
  const installPath = gateway.at('rootfs/opt/sensor');
  assert.equal(await readFile(join(installPath, 'version.txt'), 'utf8'), '1.0.0\n');
  assert.equal((await readFile(gateway.at('data/sensor/installed'), 'utf8')).trim(), installPath);
  await holds(gateway.at('downloads'), []);
  await holds(gateway.at('staging'), []);
  assert.equal((await stat(gateway.at('identity.json'))).mode & 0o777, 0o600);
});

void test('gzip packages, too', async () => {
  await using gateway = await bench();
  gateway.start();
  const report = await gateway.task({ id: 1, components: [SENSOR], encoding: 'gzip' });
  assert.equal(result(report), 'closed/success', said(report));
});

void test('an update replaces, restarts what needs it, keeps data, and leaves nothing of the old version', async () => {
  await using gateway = await bench();
  gateway.start();
  const monitor: ArtifactSketch = {
    name: 'monitor',
    after: ['svm'],
    control: {
      start:
        'echo "$LEONORE_PATH_SVM" >> "$LEONORE_DATA_DIR/seen"; command -v svm-tool >> "$LEONORE_DATA_DIR/seen"; exec sleep 300',
    },
  };
  const svm = { name: 'svm', run: null, binary: { 'bin/svm-tool': '#!/bin/sh\n' } };
  await gateway.task({ id: 1, components: [{ ...svm, control: { install: 'chmod +x bin/svm-tool' } }, monitor] });
  const [before] = await pids(gateway.at('data/monitor'));
  const report = await gateway.task({
    id: 2,
    components: [
      {
        ...svm,
        version: '2.0.0',
        replaces: '1.0.0',
        control: { install: 'chmod +x bin/svm-tool; echo "$LEONORE_PREVIOUS_VERSION" > "$LEONORE_DATA_DIR/previous"' },
      },
    ],
    keep: [{ name: 'monitor', version: '1.0.0', after: ['svm'] }],
  });
  assert.equal(result(report), 'closed/success', said(report));
  assert.match(said(report), /svm updated from 1\.0\.0 to 2\.0\.0/);
  assert.deepEqual(installedBrief(report.installed).toSorted(), ['monitor 1.0.0 running', 'svm 2.0.0 installed']);
  assert.equal((await readFile(gateway.at('data/svm/previous'), 'utf8')).trim(), '1.0.0');
  const versions = ['1.0.0', '2.0.0'].map((version) => gateway.at('components/svm', version, 'binary'));
  const seen = await until('both starts', async () => {
    const lines = (await readFile(gateway.at('data/monitor/seen'), 'utf8')).trim().split('\n');
    return lines.length === 4 && lines;
  });
  assert.deepEqual(
    seen,
    versions.flatMap((path) => [path, `${path}/bin/svm-tool`]),
  );
  const after = await pids(gateway.at('data/monitor'));
  assert.equal(after.length, 1);
  assert.notEqual(after[0], before);
  await holds(gateway.at('components/svm'), ['2.0.0', 'current']);
});

void test('a failing install script: reported with exit code and words, everything as before', async () => {
  await using gateway = await bench();
  gateway.start();
  await gateway.task({ id: 1, components: [SENSOR] });
  const report = await gateway.task({
    id: 2,
    components: [
      { ...SENSOR, version: '2.0.0', replaces: '1.0.0', control: { install: 'echo no such device >&2; exit 3' } },
      { name: 'extra' },
    ],
  });
  assert.equal(result(report), 'closed/failure');
  assert.match(
    said(report),
    /control\/install of sensor 2\.0\.0: control\/install ended with exit code 3\nno such device/,
  );
  assert.match(said(report), /rolled back to sensor 1\.0\.0/);
  assert.deepEqual(installedBrief(report.installed), ['sensor 1.0.0 starting']);
  assert.equal(await readlink(gateway.at('components/sensor/current')), '1.0.0');
  assert.equal(await readFile(gateway.at('rootfs/opt/sensor/version.txt'), 'utf8'), '1.0.0\n');
  await holds(gateway.at('components'), ['sensor']);
  assert.equal((await pids(gateway.at('data/sensor'))).length, 1);
});

void test('a failing health check: the old version runs again, all of the transaction is back', async () => {
  await using gateway = await bench();
  gateway.start();
  await gateway.task({ id: 1, components: [SENSOR, { name: 'reader', after: ['sensor'] }] });
  const report = await gateway.task({
    id: 2,
    components: [
      { ...SENSOR, version: '2.0.0', replaces: '1.0.0' },
      {
        name: 'reader',
        version: '2.0.0',
        replaces: '1.0.0',
        after: ['sensor'],
        run: { healthTimeoutSeconds: 1 },
        control: { start: 'echo hello; exec sleep 300', health: 'echo no pulse; exit 1' },
      },
    ],
  });
  assert.equal(result(report), 'closed/failure');
  assert.match(
    said(report),
    /check the health of reader 2\.0\.0: it was not healthy within 1 s.*exit code 1\nno pulse\nhello/,
  );
  assert.match(said(report), /rolled back to sensor 1\.0\.0, reader 1\.0\.0/);
  for (const name of ['sensor', 'reader']) {
    assert.equal(await readlink(gateway.at('components', name, 'current')), '1.0.0');
    await holds(gateway.at('components', name), ['1.0.0', 'current']);
    assert.equal((await pids(gateway.at('data', name))).length, 1);
  }
});

void test('removal: stopped, uninstalled, nothing left', async () => {
  await using gateway = await bench();
  gateway.start();
  const control = { uninstall: `echo "$LEONORE_VERSION" > "${gateway.work}/uninstalled"` };
  await gateway.task({ id: 1, components: [{ ...SENSOR, control }, { name: 'other' }] });
  const report = await gateway.task({
    id: 2,
    remove: [{ name: 'sensor', version: '1.0.0' }],
    keep: [{ name: 'other', version: '1.0.0' }],
  });
  assert.equal(result(report), 'closed/success', said(report));
  assert.deepEqual(installedBrief(report.installed), ['other 1.0.0 running']);
  await until('clean-up', async () => !(await readdir(gateway.at('components'))).includes('sensor'));
  assert.equal(await readFile(join(gateway.work, 'uninstalled'), 'utf8'), '1.0.0\n');
  assert.deepEqual(await pids(gateway.at('data/sensor')), []);
  await holds(gateway.at('rootfs/opt'), []);
  await holds(gateway.at('data'), ['other']);
});

void test('refused before anything is touched: expired, other platform, other installation, no room', async () => {
  let free = 1e12;
  await using gateway = await bench({ tuning: { freeBytes: async () => free } });
  gateway.start();
  const refused = async (sketch: Parameters<typeof offerTask>[2], why: RegExp): Promise<void> => {
    const report = await gateway.task(sketch);
    assert.equal(result(report), 'rejected/failure', said(report));
    assert.match(said(report), why);
    assert.deepEqual(report.installed, []);
    await holds(gateway.at('components'), []);
    await holds(gateway.at('downloads'), []);
  };
  await refused({ id: 1, components: [SENSOR], expires: Date.now() - 1000 }, /expired/);
  await refused({ id: 2, components: [SENSOR], platform: { os: 'plan9' } }, /for os plan9/);
  await refused({ id: 3, components: [SENSOR], keep: [{ name: 'svm', version: '1.0.0' }] }, /expects svm 1\.0\.0/);
  free = 1e6;
  await refused({ id: 4, components: [SENSOR] }, /not enough disk space: 20\.0 MiB needed .*, 1\.0 MiB free/);
});

void test('a sequence never falls: the last task is reported again, an older one refused', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  const old = await makeTask(server, gateway.work, { id: 5, components: [{ name: 'old' }] });
  const deployment = await offerTask(server, gateway.work, { id: 7, components: [SENSOR] });
  await until('done', () => server.closed('7'));
  server.reports.length = 0;
  server.offered = deployment;
  assert.equal(result(await until('told again', () => server.closed('7'))), 'closed/success');
  assert.deepEqual(executions(server, '7'), ['closed'], 'not done again');
  server.offered = old.deployment;
  const report = await until('refused', () => server.closed('5'));
  assert.equal(result(report), 'rejected/failure');
  assert.match(said(report), /older .*sequence 5, 7 is known/);
  await holds(gateway.at('components'), ['sensor']);
});

void test('a package that is not what its manifest says: loaded anew once, then failed, nothing left', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  const flip = (bytes: Buffer, index: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[index] = (copy[index] ?? 0) ^ 0x40;
    return copy;
  };
  const big = { ...SENSOR, binary: { data: 'x'.repeat(1000) } };
  const report = await gateway.task({ id: 1, components: [big], damage: (bytes) => flip(bytes, bytes.length - 60) });
  assert.equal(result(report), 'closed/failure', said(report));
  assert.equal(server.requests.filter(({ path }) => path.startsWith('/packages/')).length, 2);
  const other = { ...SENSOR, binary: { data: 'y'.repeat(1000) } };
  const header = await gateway.task({ id: 2, components: [other], damage: (bytes) => flip(bytes, 30) });
  assert.equal(result(header), 'closed/failure', said(header));
  for (const folder of ['components', 'downloads', 'staging']) await holds(gateway.at(folder), []);

  let first = true;
  const healed = await makeTask(server, gateway.work, { id: 3, components: [big] });
  server.intercept = (request, response) => {
    if (request.path !== healed.path || !first) return false;
    first = false;
    response.writeHead(200, { 'content-length': healed.bytes.length });
    response.end(flip(healed.bytes, healed.bytes.length - 60));
    return true;
  };
  server.offered = healed.deployment;
  assert.equal(result(await until('healed', () => server.closed('3'))), 'closed/success');
});

void test('cancel while it downloads: stopped and confirmed; while it installs: rejected, and finished', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  server.intercept = (request, response) => {
    if (!request.path.startsWith('/packages/') || request.headers.range !== undefined) return false;
    response.writeHead(200, { 'content-length': server.packages.get(request.path)?.bytes.length ?? 0 });
    response.write(Buffer.alloc(1));
    return true;
  };
  await offerTask(server, gateway.work, { id: 1, components: [SENSOR] });
  await until('the download', () => server.requests.some(({ path }) => path.startsWith('/packages/')));
  server.canceling = '1';
  const canceled = await until('the answer', () => server.cancelReports[0]);
  assert.equal(result(canceled), 'closed/success');
  await holds(gateway.at('downloads'), []);
  assert.equal(server.closed('1'), undefined);

  server.intercept = () => false;
  const control = { install: 'until test -e "$LEONORE_DATA_DIR/go"; do sleep 0.05; done' };
  await offerTask(server, gateway.work, { id: 2, components: [{ ...SENSOR, control }] });
  await until('the script', () => steps(server, '2').some((step) => step.includes('control/install')));
  server.canceling = '2';
  const rejected = await until('the answer', () => server.cancelReports[1]);
  assert.equal(rejected.status.execution, 'rejected');
  assert.match(said(rejected), /begun already/);
  await until('its folder', () =>
    writeFile(gateway.at('data/sensor/go'), '').then(
      () => true,
      () => false,
    ),
  );
  assert.equal(result(await until('the end', () => server.closed('2'))), 'closed/success');
});

void test('410, or no longer offered: the download is forgotten; a newer task takes the place of an older', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  let hanging = true;
  let hungUp = 0;
  server.intercept = (request, response) => {
    if (!request.path.startsWith('/packages/') || !hanging) return false;
    response.on('close', () => (hungUp += 1));
    response.writeHead(200, { 'content-length': server.packages.get(request.path)?.bytes.length ?? 0 });
    response.write(Buffer.alloc(1));
    return true;
  };
  server.gone.add('1');
  await offerTask(server, gateway.work, { id: 1, components: [{ name: 'one' }] });
  await until('first report', () => server.requests.some(({ path }) => path.includes('deploymentBase/1/feedback')));
  server.offered = undefined;
  const hangs = async (id: number, name: string): Promise<void> => {
    const made = await makeTask(server, gateway.work, { id, components: [{ name }] });
    server.offered = made.deployment;
    await until(`download ${id}`, () => server.requests.some(({ path }) => path === made.path));
  };
  await hangs(2, 'two');
  const before = hungUp;
  server.offered = undefined;
  await until('the agent hangs up', () => hungUp > before);
  await hangs(3, 'three');
  hanging = false;
  const report = await gateway.task({ id: 4, components: [{ name: 'four' }] });
  assert.equal(result(report), 'closed/success');
  assert.deepEqual(installedBrief(report.installed), ['four 1.0.0 running']);
  assert.equal(server.closed('3'), undefined);
});

void test('a stopped agent leaves its applications running and adopts them; a download goes on', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  await gateway.task({ id: 1, components: [SENSOR] });
  const before = await pids(gateway.at('data/sensor'));
  assert.equal(before.length, 1);
  const next = await makeTask(server, gateway.work, {
    id: 2,
    components: [{ name: 'big', binary: { data: 'y'.repeat(50_000) } }],
  });
  const half = Math.floor(next.bytes.length / 2);
  let cut = false;
  server.intercept = (request, response) => {
    if (request.path !== next.path || request.headers.range !== undefined) return false;
    cut = true;
    response.writeHead(200, {
      'content-length': next.bytes.length,
      etag: server.packages.get(next.path)?.etag ?? '',
    });
    response.write(next.bytes.subarray(0, half));
    return true;
  };
  server.offered = next.deployment;
  await until('half of it', async () => {
    const [part] = (await readdir(gateway.at('downloads'))).filter((name) => name.endsWith('.part'));
    return cut && part !== undefined && (await stat(gateway.at('downloads', part))).size === half;
  });
  await first.stop();
  assert.deepEqual(await pids(gateway.at('data/sensor')), before);
  const second = gateway.start();
  const report = await until('the end', () => server.closed('2'));
  assert.equal(result(report), 'closed/success', said(report));
  assert.deepEqual(await pids(gateway.at('data/sensor')), before);
  const ranges = server.requests.filter(({ path }) => path === next.path).map(({ headers }) => headers.range);
  assert.deepEqual(ranges, [undefined, `bytes=${half}-`]);
  await second.stop();
});

void test('the last report of a task is not lost with the server or the agent', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  const control = { install: 'until test -e "$LEONORE_DATA_DIR/go"; do sleep 0.05; done' };
  await offerTask(server, gateway.work, { id: 1, components: [{ ...SENSOR, control }] });
  await until('the script', () => steps(server, '1').some((step) => step.includes('control/install')));
  await server.down();
  await until('its folder', () =>
    writeFile(gateway.at('data/sensor/go'), '').then(
      () => true,
      () => false,
    ),
  );
  await until('the report waits', async () => (await readdir(gateway.at('outbox'))).length > 0);
  await first.stop();
  server.offered = undefined;
  await server.up();
  const second = gateway.start();
  assert.equal(result(await until('the report', () => server.closed('1'))), 'closed/success');
  await until('outbox empty', async () => (await readdir(gateway.at('outbox'))).length === 0);
  await second.stop();
});

void test('a wrong token, none, another id or a second agent: a clear error and the end', async () => {
  await using gateway = await bench({ token: 'wrong' });
  await assert.rejects(gateway.start().ended, /did not enrol gateway gw-1.*token create/);
  const ended = (change: Partial<AgentOptions>) => startAgent({ ...gateway.options, ...change }).ended;
  await assert.rejects(ended({ token: undefined }), /not enrolled yet: pass an enrolment token/);
  await assert.rejects(ended({ id: 'gw-2' }), /belongs to gateway gw-1/);
  await assert.rejects(ended({ id: 'GW 2', root: join(gateway.root, 'x') }), /cannot be used/);
});

void test('enrolment waits for a server that is away and answers lost; a second agent in the folder is refused', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  let lost = 2;
  server.intercept = (request, response) => {
    if (request.path !== '/gateway/v1/enrol' || lost-- <= 0) return false;
    server.secret = (request.body as { secret: string }).secret;
    response.destroy();
    return true;
  };
  gateway.start();
  await until('the profile', () => server.profiles.length > 0);
  const secrets = server.requests.flatMap(({ path, body }) =>
    path === '/gateway/v1/enrol' ? [(body as { secret: string }).secret] : [],
  );
  assert.equal(new Set(secrets).size, 1, 'the secret stays the same');
  await assert.rejects(startAgent(gateway.options).ended, /another agent works in .*gateway/);
});

void test('damaged state files heal, and identity survives with them', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  await gateway.task({ id: 1, components: [SENSOR] });
  await gateway.task({ id: 2, components: [{ name: 'other' }], keep: [{ name: 'sensor', version: '1.0.0' }] });
  await first.stop();
  await truncate(gateway.at('identity.json'), 20);
  await writeFile(gateway.at('state.json'), Buffer.alloc(500));
  await writeFile(gateway.at('state.json.bak'), '{');
  const second = gateway.start();
  const report = await gateway.task({
    id: 3,
    remove: [{ name: 'other', version: '1.0.0' }],
    keep: [{ name: 'sensor', version: '1.0.0' }],
  });
  assert.equal(result(report), 'closed/success', said(report));
  assert.deepEqual(installedBrief(report.installed), ['sensor 1.0.0 running']);
  const enrolments = server.requests.filter(({ path }) => path === '/gateway/v1/enrol').length;
  assert.ok(enrolments <= 2);
  await second.stop();
});

void test('a task of another kind or with a link elsewhere is refused in words', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  const { deployment } = await makeTask(server, gateway.work, { id: 1, components: [SENSOR] });
  const chunk = deployment.deployment.chunks[0];
  assert.ok(chunk);
  server.offered = {
    ...deployment,
    deployment: {
      ...deployment.deployment,
      chunks: [{ ...chunk, metadata: chunk.metadata?.filter(({ key }) => key !== CHUNK_METADATA.expires) }],
    },
  };
  const report = await until('refused', () => server.closed('1'));
  assert.equal(result(report), 'rejected/failure');
  assert.match(said(report), /leonore\.expires/);
});

void test('downloads cut again and again end well', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  gateway.start();
  const made = await makeTask(server, gateway.work, {
    id: 1,
    components: [{ ...SENSOR, binary: { data: 'z'.repeat(9000) } }],
  });
  const step = Math.ceil(made.bytes.length / 6);
  server.intercept = (request, response) => {
    if (request.path !== made.path) return false;
    cutAfter(server, request, response, step);
    return true;
  };
  server.offered = made.deployment;
  const report = await until('the end', () => server.closed('1'));
  assert.equal(result(report), 'closed/success', said(report));
});

void test('push: a task comes at once and is reported over MQTT; with the broker away pull brings it', async () => {
  await using broker = await startBroker();
  await using gateway = await bench({
    strategy: 'push',
    pollIntervalMs: undefined,
    tuning: { repairPollMs: 3_600_000 },
  });
  const { server } = gateway;
  server.mqttUrl = broker.url;
  gateway.start();
  const online = (): boolean => broker.seen.some(({ payload }) => payload === '{"online":true}');
  await until('connected', online);
  const first = await makeTask(server, gateway.work, { id: 1, components: [SENSOR] });
  // As with a real node, who asks is told of it, too; whichever way is first, it is taken once.
  server.offered = first.deployment;
  await broker.push(JSON.stringify(first.deployment));
  await broker.push(JSON.stringify(first.deployment));
  const reports = (): string[] =>
    broker.seen.filter(({ topic }) => topic.endsWith('/report')).map(({ payload }) => payload);
  const end = await until('the end', () => reports().find((payload) => payload.includes('"closed"')));
  assert.match(end, /"finished":"success".*"id":"1"/);
  assert.deepEqual(server.reports, [], 'nothing of it over HTTP');
  assert.equal(reports().filter((payload) => payload.includes('"execution":"download"')).length, 1, 'taken once');
  server.offered = undefined;
  await until('the profile', () =>
    broker.seen.some(({ topic, payload }) => topic.endsWith('/profile') && payload.includes('"sensor"')),
  );

  await broker.down();
  const second = await gateway.task({
    id: 2,
    components: [{ name: 'other' }],
    keep: [{ name: 'sensor', version: '1.0.0' }],
  });
  assert.equal(result(second), 'closed/success', said(second));
  await broker.up();
  broker.seen.length = 0;
  await until('connected again', online);
  const third = await makeTask(server, gateway.work, { id: 3, remove: [{ name: 'other', version: '1.0.0' }] });
  server.offered = third.deployment;
  await broker.push(JSON.stringify(third.deployment));
  await until('the end of the third', () => reports().find((payload) => /"closed".*"id":"3"/.test(payload)));
});
