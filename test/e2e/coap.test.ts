/** LEONORE's own agent over CoAP alone: tasks, reports and package bytes, by push, over a link that loses datagrams. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort, startSite, waitFor, wordsOf, type Site, type SiteAgent } from '@leonore/testkit';
import { library, service } from './applications.ts';
import { startLossyRelay, type LossyRelay } from './lossy-relay.ts';

const SEED = 20_251_122;
const KIB = 1024;
let site: Site;
let relay: LossyRelay;
let agent: SiteAgent;

before(async () => {
  const port = await freePort();
  relay = await startLossyRelay(port, SEED);
  const coap = ['--coap-port', String(port), '--public-coap-url', `coap://127.0.0.1:${relay.port}`];
  site = await startSite({ nodeArgs: coap });
  agent = await site.agent('gw-1', { strategy: 'push', poll: '2s', args: ['--protocols', 'coap'] });
});
after(async () => {
  await site[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
});

const installed = (path: string) => readFile(join(agent.root, 'components', path));
const provision = (name: string, version: string) =>
  site.client.rollouts.create({ applications: [{ name, range: version }], selector: 'id=gw-1', strategy: 'push' });
async function succeeds(rollout: Awaited<ReturnType<typeof provision>>, timeoutMs = 240_000): Promise<void> {
  const { tasks } = await site.ended(rollout, timeoutMs);
  assert.deepEqual(
    tasks.map(({ state }) => state),
    ['succeeded'],
    `${wordsOf(tasks)}\n${agent.process.output()}`,
  );
}

describe('a gateway that speaks CoAP alone', () => {
  const bytes = randomBytes(300 * KIB);

  it('is told of its task, brings the package, runs it and says so', async () => {
    const app = service('meter', '1.0.0');
    await site.publish({ ...app, binary: { ...app.binary, 'table.bin': bytes } });
    await succeeds(await provision('meter', '1.0.0'));
    assert.ok(relay.came > (2 * bytes.length) / KIB, `${relay.came} datagrams`);
    assert.deepEqual(await installed('meter/current/binary/table.bin'), bytes);
  });

  it('does so over a link that loses one datagram in ten', async () => {
    const small = randomBytes(8 * KIB);
    const app = library('probe', '1.0.0');
    await site.publish({ ...app, binary: { ...app.binary, 'probe.bin': small } });
    relay.loss = 1 / 10;
    const lostBefore = relay.lost;
    await succeeds(await provision('probe', '1.0.0'));
    relay.loss = 0;
    assert.ok(relay.lost > lostBefore, 'nothing was lost, so nothing was tried');
    assert.deepEqual(await installed('probe/current/binary/probe.bin'), small);
  });

  it('finds by itself what was pushed while it was out of reach', async () => {
    await site.publish(library('late', '1.0.0'));
    const lostBefore = relay.lost;
    relay.loss = 1;
    const rollout = await provision('late', '1.0.0');
    await waitFor('a datagram to get lost', () => relay.lost > lostBefore);
    relay.loss = 0;
    await succeeds(rollout);
  });

  it('observes again after the node has forgotten it', async () => {
    await site.publish(library('again', '1.0.0'));
    await site.restartNode('SIGKILL');
    await waitFor('its observation', async () => (await site.client.gateways.get('gw-1')).connected, {
      timeoutMs: 180_000,
      describe: () => agent.process.output(),
    });
    await succeeds(await provision('again', '1.0.0'));
  });

  it('says goodbye when it is stopped, and is told what waits when it is started again', async () => {
    await agent.process.kill('SIGTERM');
    await waitFor('the end of its observation', async () => !(await site.client.gateways.get('gw-1')).connected);
    await site.publish(library('waiting', '1.0.0'));
    const rollout = await provision('waiting', '1.0.0');
    await agent.restart();
    await succeeds(rollout);
  });
});

describe('a gateway that speaks CoAP, and HTTP where that is not answered', () => {
  it('pulls while CoAP is away, and observes again when it is back', async () => {
    await site.publish(library('either', '1.0.0'));
    relay.loss = 1;
    const other = await site.agent('gw-2', { poll: '1s', args: ['--strategy', 'push', '--protocols', 'coap,http'] });
    const { tasks } = await site.provision({ applications: [{ name: 'either' }], selector: 'id=gw-2' });
    assert.equal(tasks[0]?.state, 'succeeded', wordsOf(tasks));
    assert.equal((await site.client.gateways.get('gw-2')).connected, false);
    relay.loss = 0;
    await waitFor('its observation', async () => (await site.client.gateways.get('gw-2')).connected, {
      timeoutMs: 240_000,
      describe: () => other.process.output(),
    });
  });
});
