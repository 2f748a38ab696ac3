/** Gateways that mean ill, or are gone: what a node lets them do, over real sockets. */
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { connectAsync } from 'mqtt';
import { library } from './applications.ts';

const GATEWAY_TOKEN = 'any-gateway-of-this-maker';
let site: Site;
before(async () => {
  site = await startSite({ nodeArgs: ['--gateway-token', GATEWAY_TOKEN] });
  await site.publish(library('tool', '1.0.0'));
});
after(() => site[Symbol.asyncDispose]());

function ddi(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('authorization', `TargetToken token-of-${path.split(/[/?]/)[0]}`);
  return fetch(`${site.node.httpUrl}/default/controller/v1/${path}`, { ...init, headers });
}
const json = (body: unknown, method = 'POST'): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});
const known = (id: string) => site.client.gateways.create({ id, token: `token-of-${id}` });
const mqtt = (id: string, options: { will?: { topic: string; payload: string } } = {}) =>
  connectAsync(site.node.mqttUrl, {
    clientId: id,
    username: `default/${id}`,
    password: `token-of-${id}`,
    reconnectPeriod: 0,
    ...(options.will ? { will: { ...options.will, payload: Buffer.from(options.will.payload), qos: 1 } } : {}),
  });
const topic = (id: string, channel: string) => `leonore/v1/default/gateways/${id}/${channel}`;

describe('a gateway that was removed', () => {
  it('loses its connection at once, and its credential', async () => {
    await known('removed');
    await using stack = new AsyncDisposableStack();
    const client = stack.adopt(await mqtt('removed'), (open) => open.endAsync(true));
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await client.subscribeAsync(topic('removed', 'task'), { qos: 1 });
    await waitFor('its connection', async () => (await site.client.gateways.get('removed')).connected);
    await site.client.gateways.remove('removed');
    await closed;
    await assert.rejects(mqtt('removed'));
    assert.equal((await ddi('removed')).status, 401);
  });
});

describe('over MQTT, a gateway', () => {
  it('may speak and hear below its own id only, also in its last will', async () => {
    await known('victim');
    await known('forger');
    await using stack = new AsyncDisposableStack();
    const victim = stack.adopt(await mqtt('victim'), (open) => open.endAsync(true));
    const heard: string[] = [];
    victim.on('message', (_topic, payload) => heard.push(payload.toString()));
    await victim.subscribeAsync(topic('victim', 'task'), { qos: 1 });
    const forger = await mqtt('forger', { will: { topic: topic('victim', 'task'), payload: 'forged by will' } });
    const granted = await forger.subscribeAsync(topic('victim', 'task'), { qos: 1 }).catch(() => []);
    assert.ok(granted.every(({ qos }) => qos === 128));
    forger.stream.destroy();
    const again = await mqtt('forger');
    const cut = new Promise<void>((resolve) => again.once('close', () => resolve()));
    again.publish(topic('victim', 'task'), 'forged');
    await cut;
    // What is pushed now would come after what was forged.
    await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: 'id=victim', strategy: 'push' });
    await waitFor('a push', () => heard.length > 0);
    assert.ok(!heard.some((text) => text.includes('forged')));
  });
});

describe('over DDI, a gateway', () => {
  it('that reports in a loop is told 429, and its end is taken', async () => {
    await known('chatty');
    await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: 'id=chatty' });
    const task = await waitFor('the task', async () => (await site.client.gateways.get('chatty')).task);
    assert.equal((await ddi(`chatty/deploymentBase/${task.id}`)).status, 200);
    const say = (execution: string, finished: string) =>
      ddi(
        `chatty/deploymentBase/${task.id}/feedback`,
        json({ status: { execution, result: { finished }, details: ['still at it'] } }),
      );
    let last = 200;
    for (let i = 0; i < 1010 && last === 200; i += 50)
      last = (await Promise.all(Array.from({ length: 50 }, () => say('proceeding', 'none')))).at(-1)?.status ?? 0;
    assert.equal(last, 429);
    // One without words is taken: nothing is kept of it.
    const silent = json({ status: { execution: 'proceeding', result: { finished: 'none' } } });
    assert.equal((await ddi(`chatty/deploymentBase/${task.id}/feedback`, silent)).status, 200);
    assert.equal((await say('closed', 'success')).status, 200);
    assert.equal((await say('closed', 'success')).status, 410);
  });
  it('makes no tenants up, with whatever token', async () => {
    const url = `${site.node.httpUrl}/made-up/controller/v1/x`;
    assert.equal((await fetch(url, { headers: { authorization: `GatewayToken ${GATEWAY_TOKEN}` } })).status, 401);
  });
  it('hears of a wrong verb, a wrong body and prototypes in it', async () => {
    await known('wrong');
    assert.equal((await ddi('wrong', { method: 'POST' })).status, 405);
    assert.equal((await ddi('wrong/configData', json({ data: { a: 1 } }, 'PUT'))).status, 400);
    const body = '{"data":{"a":"1"},"__proto__":{"mode":"remove"}}';
    const poisoned = await ddi('wrong/configData', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body,
    });
    assert.equal(poisoned.status, 400);
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, 'x']));
    assert.equal((await ddi('wrong/configData', json({ data: many }, 'PUT'))).status, 429);
  });
});

it('who connects and says half a request is cut off within seconds', { timeout: 20_000 }, async () => {
  const { hostname, port } = new URL(site.node.httpUrl);
  const socket = connectTcp(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write('POST /gateway/v1/enrol HTTP/1.1\r\nHost: x\r\n');
  socket.resume();
  const started = performance.now();
  await new Promise((resolve) => socket.once('close', resolve));
  assert.ok(performance.now() - started < 13_000);
});
