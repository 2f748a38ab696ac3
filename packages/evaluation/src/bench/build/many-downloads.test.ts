import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { incompressible } from '../bench-artifact.ts';
import { downloadByMany } from './many-downloads.ts';

const BYTES = incompressible(300_000, 'many downloads');
const signal = AbortSignal.timeout(20_000);

async function serving(answer: RequestListener) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

void it('brings everything to everybody, each on a connection of its own', async () => {
  const ports = new Set<number | undefined>();
  await using server = await serving((request, response) => {
    ports.add(request.socket.remotePort);
    response.end(BYTES);
  });
  assert.ok((await downloadByMany({ url: server.url, expected: BYTES }, 30, signal)) > 0);
  assert.equal(ports.size, 30);
});

void it('does not count when one of many gets other bytes, fewer, more, or none', async () => {
  const wrong = Buffer.from(BYTES);
  wrong[299_999] = (wrong[299_999] ?? 0) ^ 1;
  for (const bytes of [
    wrong,
    BYTES.subarray(1),
    BYTES.subarray(0, 200_000),
    Buffer.concat([BYTES, BYTES.subarray(0, 1)]),
  ]) {
    let requests = 0;
    await using server = await serving((_request, response) => response.end(++requests === 7 ? bytes : BYTES));
    await assert.rejects(downloadByMany({ url: server.url, expected: BYTES }, 10, signal), (error) =>
      isLeonoreError(error, 'archive.mismatch'),
    );
  }
  await using refusing = await serving((_request, response) => response.writeHead(404).end(BYTES));
  await assert.rejects(downloadByMany({ url: refusing.url, expected: BYTES }, 2, signal), /status 404/);
});
