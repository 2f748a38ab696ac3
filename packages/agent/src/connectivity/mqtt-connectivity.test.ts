import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DdiCancel, DdiDeployment } from '@leonore/protocol';
import { startBroker, TOPIC } from '../test-support/broker.ts';
import { until } from '../test-support/waiting.ts';
import { feedback } from './feedback.ts';
import { createMqttConnectivity } from './mqtt-connectivity.ts';

function gateway(url: string) {
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
