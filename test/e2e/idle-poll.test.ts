/** What a gateway costs while nothing happens: bytes of a poll, and how it hears of push, with a real node. */
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createHttpClient, createHttpConnectivity } from '@leonore/agent';
import { startSite, type Site } from '@leonore/testkit';

describe('an idle gateway', () => {
  let site: Site;
  before(async () => {
    site = await startSite({ nodeArgs: ['--public-mqtt-url', 'mqtts://node.example:8883'] });
  });
  after(() => site[Symbol.asyncDispose]());

  it('asks for work with less than 1 kB, both ways, and is told of push once', async () => {
    const bytes = { up: 0, down: 0 };
    const counter = createServer((socket) => {
      const onward = connect(Number(new URL(site.node.httpUrl).port), '127.0.0.1');
      socket.on('data', (chunk) => void (bytes.up += chunk.length));
      onward.on('data', (chunk) => void (bytes.down += chunk.length));
      socket.pipe(onward).pipe(socket);
      for (const end of [socket, onward]) end.on('error', () => socket.destroy());
    });
    await new Promise<void>((resolve) => counter.listen(0, '127.0.0.1', resolve));
    after(() => counter.close());
    const server = `http://127.0.0.1:${(counter.address() as AddressInfo).port}`;
    const { token = '' } = await site.client.tokens.create();
    const secret = 'ab'.repeat(32);
    const profile = { agent: { name: 'test', version: '1' }, revision: 'r1' };
    const enrolled = await fetch(`${site.node.httpUrl}/gateway/v1/enrol`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, id: 'a-gateway-with-a-usual-name', secret, profile }),
    });
    assert.equal(enrolled.status, 200, await enrolled.clone().text());
    {
      using client = createHttpClient({ userAgent: 'leonore-agent/0.1.0' });
      const http = createHttpConnectivity({
        server,
        tenant: 'default',
        id: 'a-gateway-with-a-usual-name',
        secret,
        client,
      });
      const first = await http.poll();
      assert.equal(first.mqttUrl, 'mqtts://node.example:8883');
      assert.equal(first.profileWanted, false);
      Object.assign(bytes, { up: 0, down: 0 });
      assert.equal((await http.poll()).changed, false);
    }
    const sum = bytes.up + bytes.down;
    assert.ok(bytes.up > 100 && bytes.down > 50 && sum <= 600, `${bytes.up} bytes up, ${bytes.down} down`);
  });
});
