import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { json, servePackage, startFakeServer } from '../test-support/fake-server.ts';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import { until } from '../test-support/waiting.ts';
import { downloadPackage, type Downloads, type PackageSink } from './download-package.ts';
import { parseDownloadWindow } from './download-windows.ts';
import { createHttpClient } from './http/http-client.ts';
import { createHttpConnectivity } from './http/http-connectivity.ts';
import { limitDownloads } from './limited-downloads.ts';
import { systemClock } from './wait.ts';

function countingSink() {
  let offset = 0;
  const sink: PackageSink = {
    position: () => ({ offset, etag: undefined }),
    restart: async () => void (offset = 0),
    append: async (chunk) => void (offset += chunk.length),
  };
  return { sink, received: () => offset };
}

void test('no faster than allowed, and the server is slowed down: what is not read is not sent', async () => {
  await using server = await startFakeServer();
  server.secret = 's';
  const size = 40 * 2 ** 20;
  server.packages.set('/packages/x', { bytes: randomBytes(size) });
  let sent = (): number => 0;
  server.intercept = (request, response) => {
    sent = () => (response.socket?.bytesWritten ?? 0) - response.writableLength;
    servePackage(server, request, response);
    return true;
  };
  using client = createHttpClient();
  const http = createHttpConnectivity({ server: server.url, tenant: 'default', id: 'gw-1', secret: 's', client });
  const maxRate = 200_000;
  const stop = new AbortController();
  const { sink, received } = countingSink();
  const began = performance.now();
  const limited = limitDownloads(http, { maxRate, clock: systemClock });
  const done = downloadPackage(limited, { url: `${server.url}/packages/x`, size }, sink, { signal: stop.signal });
  await until('some bytes', () => received() > 300_000);
  const seconds = (performance.now() - began) / 1000;
  const allowed = maxRate * (seconds + 1) + 65_536;
  assert.ok(received() <= allowed, `${received()} bytes in ${seconds} s`);
  // What fits into the buffers of two sockets on one machine has left the server; most of the package has not.
  assert.ok(sent() < size / 2, `the server got rid of ${sent()} of ${size} bytes`);
  stop.abort(new Error('enough'));
  await assert.rejects(done, /enough/);
});

void test('slowed down far below the rate of the buffers, it is not taken for a silent server', async () => {
  const clock = simulatedClock();
  const asked: (number | undefined)[] = [];
  const downloads: Downloads = {
    async download(_url, range) {
      asked.push(range?.idleTimeoutMs);
      return {
        offset: 0,
        total: 3,
        etag: undefined,
        body: (async function* () {
          yield Buffer.from('abc');
        })(),
      };
    },
  };
  const limited = limitDownloads(downloads, { maxRate: 1000, clock });
  await downloadPackage(limited, { url: 'http://x/', size: 3 }, countingSink().sink);
  assert.ok((asked[0] ?? 0) > 500_000);
});

void test('in its windows only: waits and says until when; breaks off at the end, goes on in the next', async () => {
  const clock = simulatedClock(new Date(2026, 10, 22, 9, 0).getTime());
  const begun: string[] = [];
  const words: string[] = [];
  const time = (): string => new Date(clock.now()).toTimeString().slice(0, 5);
  // A kilobyte an hour.
  const downloads: Downloads = {
    async download(_url, range = {}) {
      begun.push(`${time()} from ${range.offset}`);
      const body = (async function* () {
        for (let at = range.offset ?? 0; at < 5000; at += 1000) {
          await clock.sleep(3_600_000, range.signal);
          yield Buffer.alloc(1000);
        }
      })();
      return { offset: range.offset ?? 0, total: 5000, end: 5000, etag: undefined, body };
    },
  };
  const limited = limitDownloads(downloads, {
    windows: [parseDownloadWindow('22:30-01:45')],
    clock,
    onWait: (text) => words.push(text),
  });
  const { sink, received } = countingSink();
  let over = false;
  const done = downloadPackage({ download: limited.download }, { url: 'http://x/', size: 5000 }, sink, {
    initialMs: 1,
    maxMs: 2,
    signal: new AbortController().signal,
  }).then(() => (over = true));
  await clock.pass(3 * 3_600_000);
  assert.deepEqual(begun, []);
  assert.deepEqual(words, ['waits for its download window until 22:30']);
  await clock.pass(20 * 3_600_000);
  await until('the second wait', () => words.length === 2);
  assert.deepEqual(begun, ['22:30 from 0']);
  assert.equal(received(), 4000);
  assert.equal(words[1], 'waits for its download window until 22:30');
  await clock.pass(24 * 3_600_000);
  await until('the end', () => over);
  await done;
  assert.deepEqual(begun, ['22:30 from 0', '22:30 from 4000']);
});

void test('a wait for the window ends with the task, and follows a clock that is set', async () => {
  const clock = simulatedClock(new Date(1970, 0, 1, 9, 0).getTime());
  const downloads: Downloads = {
    download: async () => ({
      offset: 0,
      total: 1,
      etag: undefined,
      body: (async function* () {
        yield Buffer.from('a');
      })(),
    }),
  };
  const limited = limitDownloads(downloads, { windows: [parseDownloadWindow('22:00-05:00')], clock });
  const stop = new AbortController();
  const canceled = limited.download('http://x/', { signal: stop.signal });
  stop.abort(new Error('canceled'));
  await assert.rejects(canceled, /canceled/);
  let open = false;
  void limited.download('http://x/').then(() => (open = true));
  await clock.pass(3_600_000);
  assert.equal(open, false);
  clock.jump(new Date(2026, 10, 22, 23, 0).getTime() - clock.now());
  await clock.pass(60_000);
  assert.equal(open, true);
});

void test('an answer that is not read ends with its connection', async () => {
  await using server = await startFakeServer();
  server.secret = 's';
  let closed = false;
  server.intercept = (_, response) => {
    response.on('close', () => (closed = true));
    json(response, 200, { some: 'thing' }, { 'content-length': '1000000' });
    return true;
  };
  using client = createHttpClient();
  const http = createHttpConnectivity({ server: server.url, tenant: 'default', id: 'gw-1', secret: 's', client });
  const limited = limitDownloads(http, { maxRate: 1000, clock: systemClock });
  const task = { url: `${server.url}/packages/x`, size: 10 };
  await assert.rejects(downloadPackage(limited, task, countingSink().sink, { hopelessAttempts: 1 }), /instead of 10/);
  await until('the connection to be closed', () => closed);
});
