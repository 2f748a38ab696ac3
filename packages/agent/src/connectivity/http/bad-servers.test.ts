import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { EMPTY_PROFILE, isLeonoreError } from '@leonore/protocol';
import { type FakeServer, json, startFakeServer, TOKEN } from '../../test-support/fake-server.ts';
import { simulatedClock } from '../../test-support/simulated-clock.ts';
import { startByteCounter, startTcpServer } from '../../test-support/tcp-server.ts';
import { downloadPackage } from '../download-package.ts';
import { feedback } from '../feedback.ts';
import type { Clock } from '../wait.ts';
import { isPassing, retryAfterMs } from './answers.ts';
import { enrol } from './enrol.ts';
import { createHttpClient, type HttpClient } from './http-client.ts';
import { createHttpConnectivity } from './http-connectivity.ts';

const SECRET = 'ab'.repeat(32);
const REPORT = feedback('closed', 'success');

function connect(url: string, client: HttpClient, clock?: Clock) {
  return createHttpConnectivity({ server: url, tenant: 'default', id: 'gw-1', secret: SECRET, client, clock });
}
function everyCall(server: FakeServer, client: HttpClient): Record<string, () => Promise<unknown>> {
  const http = connect(server.url, client);
  return {
    poll: () => http.poll(),
    deployment: () => http.deployment(`${server.url}/DEFAULT/controller/v1/gw-1/deploymentBase/5`),
    cancel: () => http.cancel(`${server.url}/DEFAULT/controller/v1/gw-1/cancelAction/5`),
    feedback: () => http.feedback('5', REPORT),
    cancelFeedback: () => http.cancelFeedback('5', REPORT),
    putProfile: () => http.putProfile(EMPTY_PROFILE),
    patchProfile: () => http.patchProfile({ os: 'linux' }),
    download: () => http.download(`${server.url}/packages/x`),
    enrol: () => enrol({ server: server.url, client, id: 'gw-1', secret: SECRET, token: TOKEN }),
  };
}
const answering = (server: FakeServer, answer: (response: ServerResponse) => void): void => {
  server.intercept = (_, response) => {
    answer(response);
    return true;
  };
};

void test('a captive portal is taken for nothing that the server has said, whatever was asked', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  const html = { 'content-type': 'text/html; charset=utf-8' };
  const portals: Record<string, (response: ServerResponse) => void> = {
    'a page': (response) => response.writeHead(200, html).end('<html>Welcome to the hotel</html>'),
    'not found': (response) => response.writeHead(404, html).end('<html>'),
    gone: (response) => response.writeHead(410, html).end('<html>'),
    'who are you': (response) => response.writeHead(401, html).end('<html>'),
    'its own status': (response) => response.writeHead(511, html).end('<html>'),
    'sent elsewhere': (response) => response.writeHead(302, { location: 'http://login.hotel.example/' }).end(),
    'sent for ever': (response) => response.writeHead(307, { location: 'https://login.hotel.example/' }).end(),
  };
  for (const [portal, answer] of Object.entries(portals)) {
    answering(server, answer);
    for (const [call, ask] of Object.entries(everyCall(server, client))) {
      await assert.rejects(
        ask(),
        (error: unknown) =>
          isLeonoreError(error, 'server.unreachable') && isPassing(error) && /captive portal/.test(error.message),
        `${call}: ${portal}`,
      );
    }
  }
  assert.equal(server.requests.filter(({ path }) => path === '/').length, 0, 'nobody is followed');
});

void test('a page without a type is no yes to a report either', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  answering(server, (response) => response.end('<!doctype html>'));
  await assert.rejects(connect(server.url, client).feedback('5', REPORT), /none of a LEONORE server/);
  await assert.rejects(connect(server.url, client).putProfile(EMPTY_PROFILE), isPassing);
  answering(server, (response) => response.end(' '));
  assert.equal(await connect(server.url, client).feedback('5', REPORT), 'accepted');
});

void test('a server that has moved is not followed, but named', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  const location = server.url.replace('http:', 'https:');
  answering(server, (response) => response.writeHead(308, { location: `${location}/there` }).end());
  for (const ask of Object.values(everyCall(server, client))) {
    await assert.rejects(
      ask(),
      (error: unknown) => isPassing(error) && String(error).includes(`${location}/there; give`),
    );
  }
});

void test('the page of what stands in front of a server that is down is no portal, and its wish to wait counts', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  answering(server, (response) =>
    response.writeHead(503, { 'content-type': 'text/html', 'retry-after': '30' }).end('<html>nginx'),
  );
  await assert.rejects(
    connect(server.url, client).poll(),
    (error: unknown) => isPassing(error) && retryAfterMs(error) === 30_000 && !String(error).includes('portal'),
  );
});

void test('Retry-After: seconds, or a date by the clock of the server; nonsense is none, and no more than an hour', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  const date = 'Thu, 01 Jan 1970 00:00:00 GMT';
  const cases: [Record<string, string>, number][] = [
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': 'Thu, 01 Jan 1970 00:01:00 GMT', date }, 60_000],
    [{ 'retry-after': '1000000' }, 3_600_000],
    [{ 'retry-after': 'soon' }, 0],
    [{ 'retry-after': '-5' }, 0],
    [{ 'retry-after': 'Wed, 31 Dec 1969 00:00:00 GMT', date }, 0],
  ];
  for (const [headers, expected] of cases) {
    answering(server, (response) => json(response, 503, {}, headers));
    const clock = simulatedClock();
    const error: unknown = await connect(server.url, client, clock)
      .poll()
      .catch((reason: unknown) => reason);
    assert.equal(retryAfterMs(error), expected, JSON.stringify(headers));
  }
});

void test('after Retry-After nothing goes to that server before its time, whatever it is', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  server.packages.set('/packages/x', { bytes: new Uint8Array(10) });
  using client = createHttpClient();
  const clock = simulatedClock();
  const http = connect(server.url, client, clock);
  answering(server, (response) => json(response, 429, {}, { 'retry-after': '60' }));
  await assert.rejects(http.feedback('5', REPORT), isPassing);
  server.intercept = () => false;
  const before = server.requests.length;
  const done: string[] = [];
  const calls = Object.entries({
    poll: () => http.poll(),
    feedback: () => http.feedback('5', REPORT),
    profile: () => http.putProfile(EMPTY_PROFILE),
    download: () => http.download(`${server.url}/packages/x`),
  }).map(([name, call]) => call().then(() => done.push(name)));
  await clock.pass(59_999);
  assert.equal(server.requests.length, before);
  await clock.pass(1);
  await Promise.all(calls);
  assert.equal(done.length, 4);
});

void test('a server that sends byte by byte is put up with; one that falls silent is not', {
  timeout: 20_000,
}, async () => {
  const size = 40;
  const dribble = (end: number) =>
    startTcpServer((socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
        let sent = 0;
        const timer = setInterval(() => (sent++ < end ? socket.write('x') : clearInterval(timer)), 20);
        socket.on('close', () => clearInterval(timer));
      });
    });
  const sink = () => {
    let offset = 0;
    return {
      position: () => ({ offset, etag: undefined }),
      restart: async () => void (offset = 0),
      append: async (chunk: Uint8Array) => void (offset += chunk.length),
    };
  };
  // Longer in all than it may be silent.
  using client = createHttpClient({ idleTimeoutMs: 400 });
  await using slow = await dribble(size);
  const http = connect(`http://127.0.0.1:${slow.port}`, client);
  const began = performance.now();
  await downloadPackage(http, { url: `http://127.0.0.1:${slow.port}/x`, size }, sink());
  assert.ok(performance.now() - began > 600);
  assert.equal(slow.connections, 1, 'in one go');

  await using silent = await dribble(5);
  const stop = new AbortController();
  const faults: unknown[] = [];
  const done = downloadPackage(
    connect(`http://127.0.0.1:${silent.port}`, client),
    { url: `http://127.0.0.1:${silent.port}/x`, size },
    sink(),
    {
      signal: stop.signal,
      onRetry: (error) => {
        faults.push(error);
        stop.abort();
      },
    },
  );
  await assert.rejects(done);
  assert.ok(isPassing(faults[0]));
});

void test('connections that were cut without a word: one waits in vain, the others beside it are not tried', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  let isCut = false;
  const port = Number(new URL(server.url).port);
  const { connect: open } = await import('node:net');
  // A router that forgets: what was open before stays open and carries nothing.
  await using router = await startTcpServer((socket) => {
    const onward = open(port, '127.0.0.1');
    const old = !isCut;
    socket.on('data', (chunk) => void (old && isCut ? undefined : onward.write(chunk)));
    onward.on('data', (chunk) => void socket.write(chunk));
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
  using client = createHttpClient({ idleTimeoutMs: 300 });
  const http = connect(`http://127.0.0.1:${router.port}`, client);
  await Promise.all([http.poll(), http.poll(), http.poll(), http.poll()]);
  assert.equal(router.connections, 4);
  isCut = true;
  await assert.rejects(http.poll(), /no answer for/);
  const began = performance.now();
  await http.poll();
  assert.ok(performance.now() - began < 250, 'at once, over a connection of its own');
});

void test('an answer to a poll that nothing has happened since is a few hundred bytes', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  await using counter = await startByteCounter(Number(new URL(server.url).port));
  using client = createHttpClient({ userAgent: 'leonore-agent/0.1.0' });
  const http = connect(`http://127.0.0.1:${counter.port}`, client);
  await http.poll();
  Object.assign(counter.bytes, { up: 0, down: 0 });
  assert.equal((await http.poll()).changed, false);
  assert.ok(counter.bytes.up > 100 && counter.bytes.up < 400, `${counter.bytes.up} bytes asked`);
});
