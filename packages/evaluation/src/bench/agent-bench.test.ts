import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { temporaryFolder } from '@leonore/testkit';
import { createClient } from '@leonore/client';
import { startBareRuntime } from './agent-clients.ts';
import { startRelay } from './agent-relay.ts';
import { startNodeProcess } from './node-process.ts';
import { join } from 'node:path';

describe('the relay', () => {
  it('hands every byte on, and counts bytes and requests', async () => {
    const server = createServer((_request, answer) => answer.end('x'.repeat(5000)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    after(() => server.close());
    await using relay = await startRelay(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (let i = 0; i < 3; i++) {
      const text = await new Promise<string>((resolve, reject) => {
        get(relay.url, (answer) => {
          let all = '';
          answer.on('data', (chunk) => void (all += String(chunk)));
          answer.on('end', () => resolve(all));
        }).on('error', reject);
      });
      assert.equal(text.length, 5000);
    }
    const { up, down, requests } = relay.count();
    assert.equal(requests, 3);
    assert.ok(up > 60 && up < 1000 && down > 15_000 && down < 16_000, `${up} up, ${down} down`);
  });
});

describe('a client that is measured', { skip: process.platform !== 'linux' && 'there is no /proc' }, () => {
  it('asks, and what that costs is seen', { timeout: 60_000 }, async () => {
    await using folder = await temporaryFolder();
    const signal = AbortSignal.timeout(50_000);
    await using node = await startNodeProcess(join(folder.path, 'node'), join(folder.path, 'node.log'), signal);
    const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
    const place = { folder: folder.path, nodeUrl: node.httpUrl, client };
    await using bare = await startBareRuntime(place, 'bare', 10);
    for (;;) {
      const { requests, up, down, cpuMs, rss, peakRss } = await Promise.race([bare.died, bare.usage()]);
      signal.throwIfAborted();
      if (requests < 20 || (await client.gateways.get('bare')).lastSeenAt === undefined) continue;
      assert.ok(up > 0 && down > 0 && cpuMs > 0);
      assert.ok(rss > 10e6 && rss < 500e6 && peakRss > 10e6, `${rss} bytes`);
      return;
    }
  });
});
