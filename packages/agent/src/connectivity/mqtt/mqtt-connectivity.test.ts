import assert from 'node:assert/strict';
import { connect as connectTo } from 'node:net';
import { test } from 'node:test';
import type { DdiCancel, DdiDeployment } from '@leonore/protocol';
import { makeAuthority, NO_OPENSSL } from '../../test-support/certificates.ts';
import { startTcpServer } from '../../test-support/tcp-server.ts';
import { temporaryFolder } from '../../test-support/temporary-folder.ts';
import { startBroker, TOPIC } from '../../test-support/broker.ts';
import { until } from '../../test-support/waiting.ts';
import { feedback } from '../feedback.ts';
import { isPassing } from '../http/answers.ts';
import { readTls } from '../tls.ts';
import { createMqttConnectivity, type MqttConnectivityOptions } from './mqtt-connectivity.ts';

function gateway(url: string, more: Partial<MqttConnectivityOptions> = {}) {
  const tasks: DdiDeployment[] = [];
  const cancels: DdiCancel[] = [];
  const faults: string[] = [];
  let connects = 0;
  const mqtt = createMqttConnectivity({
    url,
    tenant: 'default',
    id: 'gw-1',
    secret: 's3cret',
    onTask: (task) => tasks.push(task),
    onCancel: (cancel) => cancels.push(cancel),
    onConnect: () => connects++,
    onFault: (why) => faults.push(why),
    reconnect: { initialMs: 20, maxMs: 50 },
    ...more,
  });
  return { mqtt, tasks, cancels, faults, connects: () => connects };
}
const DEPLOYMENT = { id: '5', deployment: { download: 'forced', update: 'forced', chunks: [] } };

void test('a session of its own: credentials, presence, tasks and cancels in, reports and profile out', async () => {
  await using server = await startBroker();
  const { mqtt, tasks, cancels, faults, connects } = gateway(server.url);
  {
    await using _mqtt = mqtt;
    await until('connected', () => connects() === 1);
    assert.deepEqual(server.logins, ['gw-1 default/gw-1 s3cret']);
    await server.push(JSON.stringify(DEPLOYMENT));
    await server.push('{"id":"5","cancelAction":{"stopId":"5"}}');
    await server.push('nonsense');
    await until('all three', () => faults.length === 1);
    assert.deepEqual(tasks, [DEPLOYMENT]);
    assert.equal(cancels[0]?.cancelAction.stopId, '5');
    await mqtt.report('5', feedback('download', 'none'));
    await mqtt.profile({ os: 'linux' });
  }
  assert.deepEqual(
    server.seen.map(({ topic, payload }) => `${topic.slice(TOPIC.length + 1)} ${payload}`),
    [
      'presence {"online":true}',
      'report {"status":{"execution":"download","result":{"finished":"none"}},"id":"5"}',
      'profile {"os":"linux"}',
      'presence {"online":false}',
    ],
  );
  assert.ok(server.seen.filter(({ topic }) => topic.endsWith('presence')).every(({ retain }) => retain));
});

void test('comes back by itself when the broker does, and gets what was pushed meanwhile', async () => {
  await using server = await startBroker();
  const { mqtt, tasks, connects } = gateway(server.url);
  await using _mqtt = mqtt;
  await until('connected', () => connects() === 1);
  await server.down();
  await until('noticed', () => !mqtt.connected);
  await assert.rejects(mqtt.report('5', feedback('download', 'none')), /not connected/);
  await server.push(JSON.stringify(DEPLOYMENT));
  await server.up();
  await until('connected again', () => connects() === 2);
  await until('the task', () => tasks.length === 1);
  await mqtt.report('5', feedback('download', 'none'));
});

void test('what the broker does not acknowledge in time goes another way, and not a second time', async () => {
  await using server = await startBroker();
  const { mqtt, connects } = gateway(server.url, { acknowledgeMs: 100 });
  await using _mqtt = mqtt;
  await until('connected', () => connects() === 1);
  server.state.acknowledges = false;
  await assert.rejects(mqtt.report('5', feedback('download', 'none')), isPassing);
  server.state.acknowledges = true;
  await server.down();
  await server.up();
  await until('connected again', () => connects() === 2);
  await mqtt.report('6', feedback('download', 'none'));
  assert.deepEqual(
    server.seen
      .filter(({ topic }) => topic.endsWith('report'))
      .map(({ payload }) => (JSON.parse(payload) as { id: string }).id),
    ['6'],
  );
});

void test('by TLS with the own authority; without it the fault says what to do', { skip: NO_OPENSSL }, async () => {
  await using folder = await temporaryFolder();
  const authority = makeAuthority(folder.path, 'site-ca');
  await using server = await startBroker({ tls: authority.issue('broker', 'IP:127.0.0.1') });
  {
    const { mqtt, connects } = gateway(server.url, { tls: await readTls({ ca: authority.file }) });
    await using _mqtt = mqtt;
    await until('connected', () => connects() === 1);
  }
  const { mqtt, faults, connects } = gateway(server.url);
  await using _mqtt = mqtt;
  assert.match(await until('the fault', () => faults[0]), /cannot trust mqtts:.*--ca/);
  assert.equal(connects(), 0);
});

void test('a connection that was cut without a word is noticed, and another one made', {
  timeout: 20_000,
}, async () => {
  await using server = await startBroker();
  const cut = new Set<number>();
  await using router = await startTcpServer((socket, index) => {
    const onward = connectTo(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('data', (chunk) => void (cut.has(index) ? undefined : onward.write(chunk)));
    onward.on('data', (chunk) => void (cut.has(index) ? undefined : socket.write(chunk)));
    onward.on('error', () => socket.destroy());
  });
  const { mqtt, connects } = gateway(`mqtt://127.0.0.1:${router.port}`, { keepaliveSeconds: 1 });
  await using _mqtt = mqtt;
  await until('connected', () => connects() === 1);
  cut.add(0);
  await until('connected again', () => connects() === 2);
  await mqtt.report('5', feedback('download', 'none'));
});
