import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { cutAfter, type FakeServer, json, type Request, startFakeServer } from '../test-support/fake-server.ts';
import { downloadPackage, type PackageSink } from './download-package.ts';
import { createHttpClient } from './http/http-client.ts';
import { createHttpConnectivity } from './http/http-connectivity.ts';

const BYTES = randomBytes(200_000);
const QUICK = { initialMs: 1, maxMs: 5 };

function memorySink(start: Uint8Array = new Uint8Array(), startEtag?: string) {
  let bytes = Buffer.from(start);
  let etag = startEtag;
  let restarts = 0;
  const sink: PackageSink = {
    position: () => ({ offset: bytes.length, etag }),
    async restart(next) {
      if (bytes.length > 0) restarts += 1;
      bytes = Buffer.alloc(0);
      etag = next;
    },
    async append(chunk) {
      bytes = Buffer.concat([bytes, chunk]);
    },
  };
  return { sink, content: () => bytes, restarts: () => restarts };
}

async function bench(server: FakeServer, etag: string | undefined = '"one"') {
  server.secret = 's';
  server.packages.set('/packages/x', { bytes: BYTES, ...(etag === undefined ? {} : { etag }) });
  const client = createHttpClient();
  const http = createHttpConnectivity({ server: server.url, tenant: 'default', id: 'gw-1', secret: 's', client });
  const task = { url: `${server.url}/packages/x`, size: BYTES.length };
  return { client, http, task };
}
const downloads = (server: FakeServer): Request[] => server.requests.filter(({ path }) => path === '/packages/x');

void test('a whole download, with the token', async () => {
  await using server = await startFakeServer();
  const { client, http, task } = await bench(server);
  using _client = client;
  const { sink, content } = memorySink();
  await downloadPackage(http, task, sink, QUICK);
  assert.ok(content().equals(BYTES));
  assert.equal(downloads(server)[0]?.headers.authorization, 'TargetToken s');
});

void test('cut at 1, 50 and 99 %, and at the very first byte: goes on where it was, no byte twice', async () => {
  for (const share of [0, 0.01, 0.5, 0.99]) {
    await using server = await startFakeServer();
    const { client, http, task } = await bench(server);
    using _client = client;
    const cut = Math.max(1, Math.round(BYTES.length * share));
    let cuts = 0;
    server.intercept = (request, response) => {
      if (request.path !== '/packages/x' || cuts++ > 0) return false;
      cutAfter(server, request, response, cut);
      return true;
    };
    const { sink, content, restarts } = memorySink();
    await downloadPackage(http, task, sink, QUICK);
    assert.ok(content().equals(BYTES), `cut at ${share}`);
    assert.equal(restarts(), 0);
    const second = downloads(server)[1];
    assert.equal(second?.headers.range, `bytes=${cut}-`);
    assert.equal(second?.headers['if-range'], '"one"');
  }
});

void test('bytes of a former run: resumed when the content is the same, started clean when it is another', async () => {
  await using server = await startFakeServer();
  const { client, http, task } = await bench(server, '"two"');
  using _client = client;
  const same = memorySink(BYTES.subarray(0, 1000), '"two"');
  await downloadPackage(http, task, same.sink, QUICK);
  assert.ok(same.content().equals(BYTES));
  assert.equal(same.restarts(), 0);
  const other = memorySink(randomBytes(1000), '"one"');
  await downloadPackage(http, task, other.sink, QUICK);
  assert.ok(other.content().equals(BYTES));
  assert.equal(other.restarts(), 1);
});

function rangeHeaders(etag: string, from: number, total: number): Record<string, string> {
  return { etag, 'content-range': `bytes ${from}-${total - 1}/${total}` };
}

/** The first answer to the download is the given one. */
async function firstAnswer(first: (request: Request, response: ServerResponse) => void) {
  await using server = await startFakeServer();
  const { client, http, task } = await bench(server);
  using _client = client;
  let count = 0;
  server.intercept = (request, response) => {
    if (request.path !== '/packages/x' || count++ > 0) return false;
    first(request, response);
    return true;
  };
  const { sink, content } = memorySink(BYTES.subarray(0, 1000), '"one"');
  await downloadPackage(http, task, sink, QUICK);
  assert.ok(content().equals(BYTES));
  return { asked: count, ranges: downloads(server).map(({ headers }) => headers.range) };
}

void test('200 in answer to a range: the whole is taken from its beginning', async () => {
  const { asked } = await firstAnswer((_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length, etag: '"one"' });
    response.end(BYTES);
  });
  assert.equal(asked, 1);
});

void test('206 with another ETag, from another offset, of another length, or 416: nothing of it is kept', async () => {
  for (const [what, status, head] of [
    ['other ETag', 206, rangeHeaders('"evil"', 1000, BYTES.length)],
    ['other offset', 206, rangeHeaders('"one"', 900, BYTES.length)],
    ['other length', 206, rangeHeaders('"one"', 1000, BYTES.length + 5)],
    ['416', 416, { 'content-range': `bytes */${BYTES.length}` }],
  ] as const) {
    const { ranges } = await firstAnswer((_, response) => {
      response.writeHead(status, head);
      response.end(status === 206 ? randomBytes(500) : undefined);
    });
    const expected = what === 'other offset' ? 'bytes=1000-' : undefined;
    assert.equal(ranges[1], expected, what);
  }
});

void test('more bytes than announced are refused, and a busy server is waited for', async () => {
  await firstAnswer((_, response) => {
    response.writeHead(200, { etag: '"one"' });
    response.end(Buffer.concat([BYTES, BYTES]));
  });
  await firstAnswer((_, response) => json(response, 503, {}, { 'retry-after': '0' }));
  await firstAnswer((_, response) => response.destroy());
});

void test('what will not pass by itself is given up after a few attempts; a full sink at once', async () => {
  await using server = await startFakeServer();
  const { client, http, task } = await bench(server);
  using _client = client;
  server.packages.clear();
  const { sink } = memorySink();
  await assert.rejects(downloadPackage(http, task, sink, QUICK), /404/);
  assert.equal(downloads(server).length, 3);

  server.packages.set('/packages/x', { bytes: BYTES });
  const full: PackageSink = { ...memorySink().sink, append: () => Promise.reject(new Error('ENOSPC')) };
  await assert.rejects(downloadPackage(http, task, full, QUICK), /ENOSPC/);
  assert.equal(downloads(server).length, 4);
});

void test('the token goes to the own server only: bytes from elsewhere are asked for without it, other links refused', async () => {
  await using server = await startFakeServer();
  await using elsewhere = await startFakeServer();
  const { client, http } = await bench(server);
  using _client = client;
  elsewhere.packages.set('/packages/x', { bytes: BYTES });
  elsewhere.intercept = (request, response) => {
    assert.equal(request.headers.authorization, undefined);
    response.writeHead(200, { 'content-length': BYTES.length });
    response.end(BYTES);
    return true;
  };
  const { sink, content } = memorySink();
  await downloadPackage(http, { url: `${elsewhere.url}/packages/x`, size: BYTES.length }, sink, QUICK);
  assert.ok(content().equals(BYTES));
  await assert.rejects(
    http.deployment(`${elsewhere.url}/DEFAULT/controller/v1/gw-1/deploymentBase/1`),
    /goes to .* only/,
  );
  assert.equal(elsewhere.requests.length, 1);
});

void test('aborted: ends at once with the reason', async () => {
  await using server = await startFakeServer();
  const { client, http, task } = await bench(server);
  using _client = client;
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length });
    response.write(BYTES.subarray(0, 10));
    return true;
  };
  const stopping = new AbortController();
  const { sink } = memorySink();
  const append = sink.append.bind(sink);
  const stopped = downloadPackage(
    http,
    task,
    {
      ...sink,
      append: async (chunk, at) => {
        await append(chunk, at);
        stopping.abort(new Error('enough'));
      },
    },
    { ...QUICK, signal: stopping.signal },
  );
  await assert.rejects(stopped, /enough/);
});
