/** Two tenants on one node with everything of the same name: neither sees, reaches or disturbs the other. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packArtifact } from '@leonore/app-package';
import { createClient, type Client } from '@leonore/client';
import { ddiDeploymentSchema, ddiPollSchema, encodeTopicLevel, isLeonoreError } from '@leonore/protocol';
import { startSite, waitFor, writeArtifact, type Site } from '@leonore/testkit';
import { connectAsync, type MqttClient } from 'mqtt';
import { library } from './applications.ts';

let site: Site;
let acme: Client;
before(async () => {
  const nodeArgs = ['--tenant', 'acme', '--gateway-token', 'of-default', '--gateway-token', 'acme=of-acme'];
  site = await startSite({ nodeArgs });
  const token = (await readFile(join(site.dir, 'node', 'tenants', 'acme', 'admin-token'), 'utf8')).trim();
  acme = createClient({ baseUrl: site.node.httpUrl, token });
});
after(() => site[Symbol.asyncDispose]());

const clients = () => ({ default: site.client, acme }) as const;
const TENANTS = ['default', 'acme'] as const;
type Name = (typeof TENANTS)[number];

async function publish(tenant: Name, name: string): Promise<void> {
  const client = clients()[tenant];
  const source = await writeArtifact(join(site.dir, `${tenant}-${name}`), library(name, '1.0.0'));
  const packed = await packArtifact(source, { outDir: join(site.dir, `${tenant}-${name}-packed`) });
  for (const { file, sha256, size } of packed.segments) await client.uploadFile(file, sha256, size);
  const segments = packed.segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size }));
  await client.artifacts.publish({ manifest: packed.manifest, segments });
}

function get(tenant: string, path: string, authorization: string): Promise<Response> {
  return fetch(`${site.node.httpUrl}/${tenant}/controller/v1/${path}`, { headers: { authorization } });
}

const code = (wanted: string) => (error: unknown) => isLeonoreError(error) && error.code === wanted;

describe('two tenants', () => {
  it('have gateways, artifacts, rollouts and tokens apart, of the same names', async () => {
    const { token = '' } = await acme.tokens.create();
    assert.equal((await site.client.tokens.list()).length, 0);
    for (const tenant of TENANTS) {
      await clients()[tenant].gateways.create({ id: 'gw', token: `gw-of-${tenant}`, labels: { owner: tenant } });
      const { labels } = await clients()[tenant].gateways.get('gw');
      assert.deepEqual(labels, { owner: tenant });
    }
    await publish('acme', 'secret');
    assert.deepEqual((await site.client.artifacts.list()).items, []);
    await assert.rejects(site.client.rollouts.create({ applications: [{ name: 'secret' }], selector: '*' }), (error) =>
      isLeonoreError(error),
    );
    const { id } = await acme.rollouts.create({ applications: [{ name: 'secret' }], selector: 'id=gw' });
    await assert.rejects(site.client.rollouts.get(id), code('rollout.unknown'));
    const task = await waitFor('the task', async () => (await acme.gateways.get('gw')).task);
    assert.equal((await site.client.gateways.get('gw')).task, undefined);
    await assert.rejects(site.client.task(task.id), code('task.unknown'));

    // The token of one lets nobody into the other.
    for (const [tenant, other] of [
      ['default', 'acme'],
      ['acme', 'default'],
    ] as const) {
      assert.equal((await get(tenant, 'gw', `TargetToken gw-of-${tenant}`)).status, 200);
      assert.equal((await get(other, 'gw', `TargetToken gw-of-${tenant}`)).status, 401);
      assert.equal((await get(tenant, 'new', `GatewayToken of-${other}`)).status, 401);
      assert.equal((await get(tenant, `new-${tenant}`, `GatewayToken of-${tenant}`)).status, 200);
      await assert.rejects(clients()[other].gateways.get(`new-${tenant}`), code('gateway.unknown'));
    }
    const own = ddiPollSchema.parse(await (await get('ACME', 'gw', 'TargetToken gw-of-acme')).json());
    assert.ok(own._links?.deploymentBase?.href.includes('/ACME/controller/v1/gw/deploymentBase/'));
    assert.equal(
      ddiPollSchema.parse(await (await get('default', 'gw', 'TargetToken gw-of-default')).json())._links
        ?.deploymentBase,
      undefined,
    );
    for (const path of [`deploymentBase/${task.id}`, `cancelAction/${task.id}`, `softwaremodules/${task.id}/artifacts`])
      assert.equal((await get('default', `gw/${path}`, 'TargetToken gw-of-default')).status, 404, path);
    const document = ddiDeploymentSchema.parse(
      await (await get('acme', `gw/deploymentBase/${task.id}`, 'TargetToken gw-of-acme')).json(),
    );
    const file = new URL(document.deployment.chunks[0]!.artifacts[0]!._links['download-http']!.href).pathname;
    assert.ok(file.startsWith('/ACME/controller/v1/'));
    const stolen = file.replace('/ACME/', '/DEFAULT/').slice('/DEFAULT/controller/v1/'.length);
    assert.equal((await get('default', stolen, 'TargetToken gw-of-default')).status, 404);
    // Not even an operator of the other has its bytes.
    const { items } = await acme.packages.list();
    await assert.rejects(site.client.packages.download(items[0]!.sha256), code('package.unknown'));

    // An agent comes into the tenant whose token it has, whatever there is in the other under its id.
    const enrol = (secret: string, id = 'twin') =>
      fetch(`${site.node.httpUrl}/gateway/v1/enrol`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token, id, secret }),
      });
    await site.client.gateways.create({ id: 'twin', token: 'twin-of-default' });
    const secret = 'ab'.repeat(32);
    const answer = (await (await enrol(secret)).json()) as { tenant: string; ddiUrl: string };
    assert.equal(answer.tenant, 'acme');
    assert.ok(answer.ddiUrl.endsWith('/acme/controller/v1/twin'));
    assert.equal((await enrol(secret)).status, 200, 'a lost answer is asked for again');
    assert.equal((await enrol('cd'.repeat(32))).status, 409);
    const profile = await fetch(`${site.node.httpUrl}/gateway/v1/twin/profile`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', authorization: `TargetToken ${secret}` },
      body: JSON.stringify({ hostname: 'acme-twin' }),
    });
    assert.equal(profile.status, 200);
    assert.equal((await acme.gateways.get('twin')).profile.hostname, 'acme-twin');
    assert.equal((await site.client.gateways.get('twin')).profile.hostname, undefined);
  });

  it('have gateways of the same id connected at the same time, each with its own topics', async () => {
    const connect = (tenant: string, password: string): Promise<MqttClient> =>
      connectAsync(site.node.mqttUrl, {
        clientId: 'gw',
        username: `${tenant}/gw`,
        password,
        reconnectPeriod: 0,
        connectTimeout: 5000,
      });
    await assert.rejects(connect('acme', 'gw-of-default'));
    await assert.rejects(connect('nobody', 'gw-of-default'));
    await using stack = new AsyncDisposableStack();
    const connected = await Promise.all(TENANTS.map((tenant) => connect(tenant, `gw-of-${tenant}`)));
    let closed = 0;
    for (const client of connected) {
      client.on('close', () => closed++);
      stack.defer(() => client.endAsync(true));
    }
    const topic = (tenant: string) => `leonore/v1/${tenant}/gateways/${encodeTopicLevel('gw')}/task`;
    for (const [index, tenant] of TENANTS.entries()) {
      const granted = await connected[index]!.subscribeAsync(topic(tenant), { qos: 1 });
      assert.equal(granted[0]?.qos, 1);
      const refused = await connected[index]!.subscribeAsync(topic(TENANTS[1 - index]!)).catch(() => undefined);
      assert.ok(refused === undefined || refused[0]?.qos === 128);
    }
    for (const tenant of TENANTS)
      await waitFor(
        `gw of ${tenant} to be connected`,
        async () => (await clients()[tenant].gateways.get('gw')).connected,
      );
    assert.equal(closed, 0, 'neither connection took the place of the other');
    const heard: string[] = [];
    for (const [index, tenant] of TENANTS.entries()) connected[index]!.on('message', () => heard.push(tenant));
    await publish('acme', 'more');
    await acme.rollouts.create({ applications: [{ name: 'more' }], selector: 'id=gw', strategy: 'push' });
    await waitFor('the push', async () => heard.length > 0);
    await acme.gateways.remove('gw');
    await waitFor('its connection to end', async () => closed === 1);
    assert.ok(!heard.includes('default'));
    assert.equal((await site.client.gateways.get('gw')).connected, true);
  });
});
