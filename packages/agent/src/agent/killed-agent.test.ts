/** The agent as a process of its own, killed (-9) in the middle: the old or the new version runs whole, and the task ends. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, kill, startAgentProcess } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, makeTask, offerTask } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

async function bench() {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const { logger: _logger, ...options } = agentOptions(server, root);
  const start = () => {
    const child = startAgentProcess(options);
    stack.defer(() => kill(child));
    return child;
  };
  const at = (...parts: string[]): string => join(root, ...parts);
  return { server, work: work.path, root, start, at, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const versionsRunning = async (dataDir: string): Promise<string[]> =>
  (await findMarked(dataDir)).filter(({ script }) => script === 'start').map(({ version }) => version ?? '');
const SENSOR: ArtifactSketch = { name: 'sensor', installPath: '/opt/sensor', control: { start: 'exec sleep 300' } };

void test('killed during control/install: the script ends with it, the old version runs again, the task is tried again', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  await offerTask(server, gateway.work, { id: 1, components: [SENSOR] });
  await until('installed', () => server.closed('1'));
  const gate = join(gateway.work, 'go');
  const control = {
    ...SENSOR.control,
    install: `echo x >> "$LEONORE_DATA_DIR/begun"; until test -e ${gate}; do sleep 0.05; done`,
  };
  await offerTask(server, gateway.work, {
    id: 2,
    components: [{ ...SENSOR, version: '2.0.0', replaces: '1.0.0', control }],
  });
  const begun = () => readFile(gateway.at('data/sensor/begun'), 'utf8').catch(() => '');
  await until('the script', async () => (await begun()) === 'x\n');
  await kill(first);
  assert.deepEqual(await versionsRunning(gateway.at('data/sensor')), [], 'stopped for the update');

  server.offered = undefined;
  const second = gateway.start();
  await until('the old version', async () => (await versionsRunning(gateway.at('data/sensor'))).join() === '1.0.0');
  assert.equal(await readFile(gateway.at('rootfs/opt/sensor/version.txt'), 'utf8'), '1.0.0\n');
  assert.deepEqual((await readdir(gateway.at('components/sensor'))).toSorted(), ['1.0.0', 'current']);
  const scripts = (await findMarked(gateway.at('data/sensor'))).filter(({ script }) => script !== 'start');
  assert.deepEqual(scripts, []);
  await kill(second);

  await writeFile(gate, '');
  await offerTask(server, gateway.work, {
    id: 2,
    components: [{ ...SENSOR, version: '2.0.0', replaces: '1.0.0', control }],
  });
  gateway.start();
  const report = await until('the end', () => server.closed('2'));
  assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
  assert.deepEqual(await versionsRunning(gateway.at('data/sensor')), ['2.0.0']);
});

void test('killed five times in a row in one task: given up, reported, the old version runs', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const control = { ...SENSOR.control, install: 'echo x >> "$LEONORE_DATA_DIR/../begun"; sleep 300' };
  await offerTask(server, gateway.work, { id: 1, components: [{ ...SENSOR, control }] });
  for (let count = 1; count <= 5; count++) {
    const child = gateway.start();
    await until(`begin ${count}`, async () => {
      const begun = await readFile(gateway.at('data/begun'), 'utf8').catch(() => '');
      return begun.length === 2 * count;
    });
    await kill(child);
  }
  gateway.start();
  const report = await until('the end', () => server.closed('1'));
  assert.equal(report.status.result.finished, 'failure');
  assert.match(report.status.details?.join('\n') ?? '', /begun 5 times/);
  assert.deepEqual(report.installed, []);
  await rm(gateway.at('data/begun'));
});

void test('killed at random moments of updates there and back: one version runs whole each time, each task ends once', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  let child = gateway.start();
  await offerTask(server, gateway.work, { id: 1, components: [SENSOR] });
  await until('installed', () => server.closed('1'));
  let version = '1.0.0';
  for (let id = 2; id <= 7; id++) {
    const next = version === '1.0.0' ? '2.0.0' : '1.0.0';
    const offeredAt = server.requests.length;
    const component = { ...SENSOR, version: next, replaces: version };
    await offerTask(server, gateway.work, { id, components: [component], downgrade: ['sensor'] });
    await until('it is noticed', () =>
      server.requests.slice(offeredAt).some(({ path }) => path.includes(`deploymentBase/${id}`)),
    );
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
    await kill(child);
    child = gateway.start();
    const report = await until(`end of ${id}`, () => server.closed(String(id)), 20_000);
    assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
    assert.deepEqual(await versionsRunning(gateway.at('data/sensor')), [next]);
    assert.equal(await readFile(gateway.at('rootfs/opt/sensor/version.txt'), 'utf8'), `${next}\n`);
    version = next;
  }
});

void test('killed in the middle of a ranged fetch: what was there is not loaded again, and nothing half is used', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  await offerTask(server, gateway.work, { id: 1, components: [SENSOR] });
  await until('installed', () => server.closed('1'));
  const noisy = (name: string): ArtifactSketch => ({ name, run: null, binary: { noise: randomBytes(100_000) } });
  const made = await makeTask(server, gateway.work, { id: 2, components: [noisy('a'), noisy('b')] });
  server.intercept = (request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (request.path !== made.path || !range || range[1] === '0') return false;
    const [from, to] = [Number(range[1]), Number(range[2])];
    response.writeHead(206, {
      'content-length': to + 1 - from,
      'content-range': `bytes ${from}-${to}/${made.bytes.length}`,
      etag: server.packages.get(made.path)?.etag ?? '',
    });
    response.write(made.bytes.subarray(from, from + 150_000));
    return true;
  };
  server.offered = made.deployment;
  const downloaded = async (): Promise<number> => {
    const names = (await readdir(gateway.at('downloads'))).filter((name) => name.endsWith('.part'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(gateway.at('downloads', name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  await until('one and a half', async () => (await downloaded()) === made.headerSize + 150_000);
  await kill(first);
  assert.deepEqual(await readdir(gateway.at('staging')), []);

  server.intercept = () => false;
  server.sent.length = 0;
  gateway.start();
  const report = await until('the end', () => server.closed('2'));
  assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
  const payload = made.manifest.payloadSize;
  assert.deepEqual(
    server.sent.map(({ bytes }) => bytes),
    [payload - 150_000],
  );
  for (const { name } of made.manifest.components) {
    assert.equal((await readFile(gateway.at('components', name, 'current/binary/noise'))).length, 100_000);
  }
});

void test('killed while a delta is applied: the old version stays whole, and the delta is used after all, without a byte more', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const first = gateway.start();
  // Each file is flushed by itself, so that unpacking takes its time.
  const noise = randomBytes(100_000);
  const files = (version: string): Record<string, string | Uint8Array> => ({
    noise,
    ...Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`file-${index}`, `${index} of ${version}\n`])),
  });
  const before = await makeTask(server, gateway.work, { id: 1, components: [{ ...SENSOR, binary: files('1.0.0') }] });
  server.offered = before.deployment;
  await until('installed', () => server.closed('1'), 30_000);
  const deltaFrom = { tar: before.tars['sensor'] ?? Buffer.alloc(0) };
  const next = { ...SENSOR, version: '2.0.0', replaces: '1.0.0', deltaFrom, binary: files('2.0.0') };
  const made = await makeTask(server, gateway.work, { id: 2, components: [next] });
  const [delta] = made.deltas;
  assert.ok(delta && delta.size < made.manifest.payloadSize, 'a delta pays');
  server.sent.length = 0;
  server.offered = made.deployment;
  const staged = gateway.at('staging/2/binary/sensor');
  await until('some files', async () => (await readdir(staged).catch(() => [])).length > 20, 30_000);
  await kill(first);
  const come = (await readdir(staged)).length;
  assert.ok(come > 20 && come < 400, `${come} files were there`);
  assert.deepEqual((await readdir(gateway.at('components/sensor'))).toSorted(), ['1.0.0', 'current']);
  assert.deepEqual(await versionsRunning(gateway.at('data/sensor')), ['1.0.0']);

  gateway.start();
  const report = await until('the end', () => server.closed('2'), 30_000);
  assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
  assert.deepEqual(
    server.sent.map(({ path }) => path === made.path),
    [true, false],
    'header and delta, once',
  );
  assert.deepEqual(await versionsRunning(gateway.at('data/sensor')), ['2.0.0']);
  assert.equal(await readFile(gateway.at('rootfs/opt/sensor/file-399'), 'utf8'), '399 of 2.0.0\n');
});
