import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { EMPTY_PROFILE, type Gateway, isLeonoreError, NO_TASKS } from '@leonore/protocol';
import { type Client, createClient } from './client.ts';
import { collect, iteratePages } from './pages.ts';
import { type FakeNode, startFakeNode } from './testing/fake-node.ts';

function gateway(id: string): Gateway {
  return { id, profile: EMPTY_PROFILE, labels: {}, connected: false, enrolledAt: 1, desired: [] };
}

describe('createClient', () => {
  let node: FakeNode;
  let client: Client;
  before(async () => {
    node = await startFakeNode();
    client = createClient({ baseUrl: `${node.url}/`, token: node.token });
  });
  beforeEach(() => {
    node.gateways.clear();
    node.intercept = undefined;
    node.requests.length = 0;
  });
  after(() => node[Symbol.asyncDispose]());

  it('reads the node and sends the token', async () => {
    assert.equal((await client.info()).tenant, 'default');
    await assert.rejects(createClient({ baseUrl: node.url, token: 'no' }).info(), (e) =>
      isLeonoreError(e, 'auth.wrong'),
    );
    await assert.rejects(createClient({ baseUrl: node.url }).info(), (e) => isLeonoreError(e, 'auth.missing'));
  });

  it('walks all pages and asks for no page that nobody wants', async () => {
    for (let i = 0; i < 250; i++) node.gateways.set(`gw-${i}`, gateway(`gw-${i}`));
    assert.equal((await collect(client.gateways.all())).length, 250);
    assert.equal(node.requests.length, 3);
    assert.equal((await collect(client.gateways.all(), 50)).length, 50);
    assert.equal(node.requests.length, 4);
  });

  it('carries ids with any character, and never lets one climb out of its path', async () => {
    const id = 'a b%/../ü#?';
    node.gateways.set(id, gateway(id));
    assert.equal((await client.gateways.get(id)).id, id);
    for (const climbing of ['..', '.', '']) {
      assert.throws(
        () => client.gateways.get(climbing),
        (e) => isLeonoreError(e, 'request.invalid'),
      );
    }
  });

  it('makes, labels and removes a gateway', async () => {
    const created = await client.gateways.create({ id: 'plc-1', token: 'secret' });
    assert.equal(created.token, 'secret');
    await client.gateways.label('plc-1', { site: 'vienna', floor: '2' });
    assert.deepEqual((await client.gateways.label('plc-1', { floor: null })).labels, { site: 'vienna' });
    await client.gateways.remove('plc-1');
    await assert.rejects(client.gateways.get('plc-1'), (e) => isLeonoreError(e, 'gateway.unknown'));
  });

  it('carries the details of a problem', async () => {
    node.gateways.set('gw', gateway('gw'));
    const explanation = { summary: 'svm cannot be had', facts: [], suggestions: ['publish it'] };
    node.resolution = { outcome: 'unsatisfiable', explanation };
    const asked = client.rollouts.create({ applications: [{ name: 'svm', range: '*' }], selector: '*' });
    await assert.rejects(asked, (error) => {
      assert.ok(isLeonoreError(error, 'plan.unsatisfiable'));
      assert.deepEqual(error.details['explanation'], explanation);
      return true;
    });
    node.resolution = { outcome: 'plan', plan: { steps: [], remove: [] } };
    const rollout = await client.rollouts.create({ applications: [{ name: 'svm' }], selector: '*' });
    assert.deepEqual(rollout.counts, { ...NO_TASKS, total: 1, pending: 1 });
    assert.equal((await client.rollouts.pause(rollout.id)).state, 'paused');
    await assert.rejects(client.rollouts.pause(rollout.id), (e) => isLeonoreError(e, 'rollout.state'));
  });

  it('names the address that cannot be reached, and why', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const baseUrl = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
    await new Promise((resolve) => closed.close(resolve));
    await assert.rejects(createClient({ baseUrl }).info(), (error) => {
      assert.ok(isLeonoreError(error, 'server.unreachable'));
      assert.ok(error.message.includes(baseUrl) && error.message.includes('connection refused'), error.message);
      return true;
    });
  });

  it('says so when somebody else answers', async () => {
    for (const [status, body] of [
      [200, '<html>hello</html>'],
      [200, '{"name":"other"}'],
      [502, '<html>bad gateway</html>'],
    ] as const) {
      node.intercept = (_request, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end(body);
        return true;
      };
      await assert.rejects(client.info(), (e) => isLeonoreError(e, 'server.unreachable'));
    }
  });

  it('an abort is an abort, not an unreachable server', async () => {
    node.intercept = () => true;
    const stop = new AbortController();
    const asked = client.info({ signal: stop.signal });
    stop.abort();
    await assert.rejects(asked, { name: 'AbortError' });
    node.cutStreams();
  });

  it('refuses addresses that are none', () => {
    for (const baseUrl of ['', 'localhost:8080', 'ftp://x', 'http://u:p@x', 'http://x/?a=1']) {
      assert.throws(
        () => createClient({ baseUrl }),
        (e) => isLeonoreError(e, 'config.invalid'),
        baseUrl,
      );
    }
  });
});

describe('iteratePages', () => {
  it('ends when a server gives the same cursor for ever', async () => {
    const items = await collect(iteratePages(async () => ({ items: [1], next: 'same' })));
    assert.deepEqual(items, [1, 1]);
  });
});
