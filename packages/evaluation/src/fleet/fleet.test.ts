import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type DdiFeedback, LeonoreError } from '@leonore/protocol';
import { makePackage } from '../testing/made-package.ts';
import { type ScriptedServer, startScriptedServer } from '../testing/scripted-server.ts';
import { type Fleet, type FleetOptions, simulateFleet } from './fleet.ts';
import type { TaskEnd } from './virtual-gateway.ts';

const LIMIT_MS = 20_000;
const made = makePackage();

async function fleetOf(t: TestContext, server: ScriptedServer, more: Partial<FleetOptions> = {}): Promise<Fleet> {
  const fleet = await simulateFleet({
    serverUrl: server.url,
    enrolmentToken: 'token',
    count: 10,
    idPrefix: 'sim',
    strategy: 'pull',
    pollIntervalMs: 50,
    ...more,
  });
  t.after(() => fleet[Symbol.asyncDispose]());
  return fleet;
}

const words = (reports: readonly DdiFeedback[] = []): string[] =>
  reports.map(({ status }) => `${status.execution}/${status.result.finished}`);

void test('every gateway enrols, takes the package, and reports each step', async (t) => {
  await using server = await startScriptedServer();
  const completed: string[] = [];
  const fleet = await fleetOf(t, server, { onCompletion: (gateway) => completed.push(gateway.id) });
  server.offer(1, made);
  await fleet.waitForAll(1, AbortSignal.timeout(LIMIT_MS));
  const stats = fleet.stats();
  assert.equal(stats.succeeded, 10);
  assert.equal(stats.packageBytes, 10 * made.bytes.length);
  assert.equal(new Set(completed).size, 10);
  assert.equal(new Set(server.enrolled).size, 10);
  for (const gateway of fleet.gateways()) {
    const reports = server.reports.get(gateway.id);
    assert.deepEqual(words(reports), ['download/none', 'downloaded/none', 'closed/success']);
    assert.deepEqual(reports?.at(-1)?.installed, gateway.installed);
    assert.deepEqual(
      gateway.installed.map(({ name, version, requested }) => [name, version, requested]),
      [
        ['runtime', '1.0.0', false],
        ['app', '1.0.0', true],
      ],
    );
  }
});

void test('a gateway that got one wrong byte, or one too few, reports failure and counts as failed', async (t) => {
  const bad = ['sim-0003', 'sim-0007'];
  await using server = await startScriptedServer({
    bytesFor(gateway, bytes) {
      const copy = Buffer.from(bytes);
      if (gateway === bad[0]) copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
      return gateway === bad[1] ? copy.subarray(0, -1) : copy;
    },
  });
  const ends = new Map<string, TaskEnd>();
  const fleet = await fleetOf(t, server, { onEnd: (gateway, end) => ends.set(gateway.id, end) });
  server.offer(1, made);
  await fleet.waitForAll(1, AbortSignal.timeout(LIMIT_MS));
  const stats = fleet.stats();
  assert.deepEqual([stats.succeeded, stats.failed], [8, 2]);
  for (const id of bad) {
    assert.equal(words(server.reports.get(id)).at(-1), 'closed/failure');
    assert.match(ends.get(id)?.reason ?? '', /package/);
    assert.deepEqual(fleet.gateways().find((gateway) => gateway.id === id)?.installed, []);
  }
});

void test('tasks follow one another, and an old one is refused', async (t) => {
  await using server = await startScriptedServer();
  const fleet = await fleetOf(t, server, { count: 3 });
  server.offer(5, made);
  await fleet.waitForAll(1, AbortSignal.timeout(LIMIT_MS));
  server.offer(6, makePackage('2.0.0'));
  await fleet.waitForAll(2, AbortSignal.timeout(LIMIT_MS));
  assert.ok(fleet.gateways().every(({ installed }) => installed.every(({ version }) => version === '2.0.0')));
  server.offer(4, made);
  await fleet.waitForAll(3, AbortSignal.timeout(LIMIT_MS));
  assert.deepEqual([fleet.stats().succeeded, fleet.stats().rejected], [6, 3]);
  assert.ok(fleet.gateways().every(({ installed }) => installed.every(({ version }) => version === '2.0.0')));
});

void test('a task that the server ended is forgotten, and its end is nobody’s', async (t) => {
  await using server = await startScriptedServer({
    feedbackStatus: (gateway) => (gateway === 'sim-0001' ? 410 : 200),
  });
  const fleet = await fleetOf(t, server, { count: 2 });
  server.offer(1, made);
  await assert.rejects(fleet.waitForAll(1, AbortSignal.timeout(700)), { name: 'TimeoutError' });
  assert.deepEqual([fleet.stats().succeeded, fleet.stats().failed], [1, 0]);
  assert.deepEqual(words(server.reports.get('sim-0001')), ['download/none']);
});

void test('a task that is being canceled is given up and confirmed', async (t) => {
  await using server = await startScriptedServer({ canceling: () => true });
  const fleet = await fleetOf(t, server, { count: 2 });
  server.offer(1, made);
  await fleet.waitForAll(1, AbortSignal.timeout(LIMIT_MS));
  assert.equal(fleet.stats().canceled, 2);
  assert.deepEqual(words(server.reports.get('sim-0001')), ['closed/success']);
});

void test('reports and enrolments that meet a busy server are sent again', async (t) => {
  const refused = new Set<string>();
  await using server = await startScriptedServer({
    enrolStatus: (_gateway, attempt) => (attempt === 1 ? 503 : 200),
    feedbackStatus(gateway, report) {
      const first = !refused.has(gateway) && report.status.execution === 'closed';
      if (first) refused.add(gateway);
      return first ? 503 : 200;
    },
  });
  const fleet = await fleetOf(t, server, { count: 2 });
  server.offer(1, made);
  await fleet.waitForAll(1, AbortSignal.timeout(LIMIT_MS));
  assert.equal(fleet.stats().succeeded, 2);
  assert.deepEqual(words(server.reports.get('sim-0002')).slice(-2), ['closed/success', 'closed/success']);
});

void test('a refused enrolment ends the fleet with the reason', async () => {
  await using server = await startScriptedServer({ enrolStatus: (id) => (id === 'sim-0002' ? 401 : 200) });
  const options = { serverUrl: server.url, enrolmentToken: 't', count: 5, idPrefix: 'sim', pollIntervalMs: 1000 };
  await assert.rejects(simulateFleet({ ...options, strategy: 'pull' }), (error) => error instanceof LeonoreError);
  await assert.rejects(simulateFleet({ ...options, strategy: 'pull', count: 0 }), { code: 'config.invalid' });
  await assert.rejects(simulateFleet({ ...options, strategy: 'push', count: 1 }), { code: 'agent.unsupported' });
});

void test('an aborted fleet stops: waits end, nothing is polled any more', async (t) => {
  await using server = await startScriptedServer();
  const abort = new AbortController();
  const fleet = await simulateFleet(
    { serverUrl: server.url, enrolmentToken: 't', count: 2, idPrefix: 'sim', strategy: 'pull', pollIntervalMs: 20 },
    abort.signal,
  );
  t.after(() => fleet[Symbol.asyncDispose]());
  const waiting = fleet.waitForAll();
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});
