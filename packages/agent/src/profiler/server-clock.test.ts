import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createHttpClient } from '../connectivity/mod.ts';
import { createServerClock } from './server-clock.ts';

void test('learns from answers of the server how wrong its clock is; from others, and caches, nothing', async () => {
  let headers: Record<string, string> = {};
  const server = createServer((_, response) => response.writeHead(200, headers).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let now = Date.now();
  const clock = createServerClock({ server: `http://127.0.0.1:${port}/leonore`, now: () => now });
  using client = clock.heed(createHttpClient());
  const ask = async (host: string): Promise<number | undefined> => {
    const answer = await client.send({ method: 'GET', url: new URL(`http://${host}:${port}/`) });
    answer.body.resume();
    return clock.offset;
  };
  try {
    assert.deepEqual([clock.offset, clock.time], [undefined, undefined]);
    assert.equal(await ask('localhost'), undefined);
    assert.equal(await ask('127.0.0.1'), 0);
    now += 3_600_000;
    assert.ok(Math.abs(((await ask('127.0.0.1')) ?? 0) - 3600) < 5);
    now = 0;
    assert.ok(Math.abs((clock.time ?? 0) - Date.now()) < 5000, 'whatever the clock here says');
    const before = clock.offset;
    headers = { age: '10' };
    assert.equal(await ask('127.0.0.1'), before);
    headers = { date: 'yesterday' };
    assert.equal(await ask('127.0.0.1'), before);
    headers = {};
    assert.ok(((await ask('127.0.0.1')) ?? 0) < -1e9);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
