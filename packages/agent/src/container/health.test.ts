/** Probes against real servers, and what follows from them for real applications. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import {
  endingAll,
  makeApplication,
  type RunSketch,
  started,
  testContainer,
  textOf,
} from '../test-support/applications.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { findMarked } from './process-table.ts';
import { askHealth, type Verdict } from './health.ts';

async function listening<T extends Server>(server: T): Promise<{ port: number; server: T } & AsyncDisposable> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  return {
    port,
    server,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
const web = (listener: RequestListener) => listening(createServer(listener));

/** What a health section finds, given `timeoutMs`. */
async function ask(health: RunSketch, timeoutMs = 2000, signal?: AbortSignal): Promise<Verdict> {
  await using root = await temporaryFolder();
  const app = await makeApplication(root.path, { run: { health } });
  return askHealth(app, { timeoutMs, signal });
}
const faultOf = async (...asked: Parameters<typeof ask>): Promise<string | undefined> => {
  const verdict = await ask(...asked);
  return verdict.outcome === 'unwell' ? verdict.fault : undefined;
};

void test('tcp: well when something listens, in words when nothing does', async () => {
  const server = await listening(createTcpServer((socket) => socket.on('error', () => undefined).end('hello')));
  const { port } = server;
  assert.deepEqual(await ask({ tcp: { port } }), { outcome: 'well' });
  await server[Symbol.asyncDispose]();
  assert.equal(await faultOf({ tcp: { port } }), `tcp 127.0.0.1:${port}: nobody listens there`);
  assert.match((await faultOf({ tcp: { port, host: 'no.such.host.invalid' } })) ?? '', /tcp no\.such\.host\.invalid/);
});

void test('http: any status below 400, or exactly the one that is named; a body without end does no harm', async () => {
  const asked: string[] = [];
  await using server = await web((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const status = Number(request.url?.slice(1)) || 200;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
    response.write('x'.repeat(1000));
  });
  const { port } = server;
  const find = (path: string, status?: number) => faultOf({ http: { port, path, ...(status ? { status } : {}) } });
  assert.equal(await find('/health'), undefined);
  assert.equal(await find('/302'), undefined);
  assert.equal(await find('/503'), `http://127.0.0.1:${port}/503: status 503`);
  assert.equal(await find('/404', 404), undefined);
  assert.equal(await find('/203', 200), `http://127.0.0.1:${port}/203: status 203`);
  assert.deepEqual(asked.slice(0, 2), ['GET /health', 'GET /302']);
});

void test('one that takes the connection and never answers has failed after its time', async () => {
  await using server = await listening(createTcpServer((socket) => socket.on('error', () => undefined)));
  const { port } = server;
  const begun = performance.now();
  assert.equal(await faultOf({ http: { port } }, 300), `http://127.0.0.1:${port}/: no answer within 0.3 s`);
  assert.ok(performance.now() - begun < 2000);
  const stopping = AbortSignal.timeout(100);
  await assert.rejects(ask({ http: { port } }, 60_000, stopping), { name: 'TimeoutError' });
});

void test('https: whoever has signed it, as only that it answers is asked', async () => {
  await using folder = await temporaryFolder();
  const [key, cert] = [join(folder.path, 'key'), join(folder.path, 'cert')];
  const subject = ['-subj', '/CN=gateway', '-days', '1', '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
  const options = { key: await readFile(key), cert: await readFile(cert) };
  await using server = await listening(createSecureServer(options, (_request, response) => response.end()));
  const { port } = server;
  assert.equal(await faultOf({ http: { port, https: true } }), undefined);
  assert.match((await faultOf({ http: { port } })) ?? '', /^http:/);
});

void test('the probe and control/health must agree', async () => {
  await using root = await temporaryFolder();
  await using server = await web((_request, response) => response.end());
  const { port } = server;
  const verdictOf = async (version: string, script: string, health: RunSketch) =>
    askHealth(await makeApplication(root.path, { version, scripts: { health: script }, run: { health } }), {
      timeoutMs: 2000,
    });
  assert.deepEqual(await verdictOf('1.0.0', 'exit 0', { http: { port } }), { outcome: 'well' });
  assert.deepEqual(await verdictOf('2.0.0', 'echo no; exit 3', { http: { port } }), {
    outcome: 'unwell',
    fault: 'control/health ended with exit code 3',
    output: ['no'],
    ending: { exitCode: 3 },
  });
  assert.equal((await verdictOf('3.0.0', 'exit 0', { tcp: { port: 1 }, http: { port } })).outcome, 'unwell');
});

void test('in the window after the start a probe decides, and its words are in the error', async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const answers = { status: 503 };
  await using server = await web((_request, response) => response.writeHead(answers.status).end());
  const { port } = server;
  const run = { healthTimeoutSeconds: 1, health: { http: { port } } };
  const app = await makeApplication(root.path, { scripts: { start: 'echo warming up; exec sleep 300' }, run });
  await using _end = endingAll(app);
  await box.start(app);
  await assert.rejects(box.check(app), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'agent.unhealthy'));
    assert.equal(error.message, `it was not healthy within 1 s: http://127.0.0.1:${port}/: status 503`);
    assert.deepEqual(error.details['output'], ['warming up']);
    return true;
  });
  answers.status = 200;
  await box.check(app);
  assert.equal(box.status('app')?.state, 'running');
  await box.stop('app', app.dataDir);
});

/** An application that is well as long as there is no file `sick` in its data folder. */
async function sickening(root: string, run: RunSketch) {
  const app = await makeApplication(root, {
    scripts: {
      start: 'echo x >> "$HOME/starts"; exec sleep 300',
      health: 'echo x >> "$HOME/asked"; test ! -e "$HOME/sick"',
    },
    run: { healthIntervalSeconds: 1, ...run },
  });
  const linesOf = async (name: string): Promise<number> => (await textOf(join(app.dataDir, name))).length / 2;
  return { app, linesOf, sick: join(app.dataDir, 'sick') };
}

void test('a running application is started again after as many failed checks in a row as it is allowed', async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const { app, linesOf, sick } = await sickening(root.path, { health: { failures: 2 } });
  await using _end = endingAll(app);
  await box.start(app);
  await box.check(app);
  const [first] = await started(app);
  await writeFile(sick, '');
  const asked = await linesOf('asked');
  await until('one failed check', async () => (await linesOf('asked')) > asked);
  assert.equal(box.status('app')?.state, 'running', 'one failure is allowed');
  await rm(sick);
  await until('a good check', async () => (await linesOf('asked')) > asked + 1);
  await writeFile(sick, '');
  await until('a start', () => box.status('app')?.restarts === 1);
  assert.ok((await linesOf('asked')) >= asked + 4, 'two more in a row');
  await rm(sick);
  await until('running again', () => box.status('app')?.state === 'running');
  const { restarts, lastExit, note, since } = box.status('app') ?? {};
  assert.equal(lastExit?.why, 'not healthy: control/health ended with exit code 1');
  assert.equal(restarts, 1);
  assert.doesNotMatch(note ?? '', /control.health/, 'it is well again');
  assert.ok(since !== undefined && Date.now() - since < 60_000);
  const [second] = await started(app);
  assert.ok(second && second.pid !== first?.pid);
  assert.equal(await linesOf('starts'), 2);
  await box.stop('app', app.dataDir);
});

void test('one that stays unhealthy is started again with growing delays; restart: false and never are only told', async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path, { timing: { initialMs: 100, maxMs: 100_000 } });
  const { app, linesOf, sick } = await sickening(root.path, { healthTimeoutSeconds: 1, health: { failures: 1 } });
  await using _end = endingAll(app);
  await box.start(app);
  await box.check(app);
  await writeFile(sick, '');
  await until('three starts', async () => (await linesOf('starts')) === 3, 30_000);
  assert.equal(box.status('app')?.restarts, 2);
  assert.match(box.status('app')?.lastExit?.why ?? '', /not healthy/);
  await box.stop('app', app.dataDir);

  for (const run of [{ health: { failures: 1, restart: false } }, { restart: 'never', health: { failures: 1 } }]) {
    await rm(sick, { force: true });
    const told = await sickening(root.path, run);
    const before = await linesOf('starts');
    await box.start(told.app);
    await box.check(told.app);
    await writeFile(sick, '');
    await until('unhealthy', () => box.status('app')?.state === 'failed');
    assert.match(box.status('app')?.note ?? '', /^control\/health ended with exit code 1/);
    const asked = await linesOf('asked');
    await until('two more checks', async () => (await linesOf('asked')) >= asked + 2);
    assert.equal(await linesOf('starts'), before + 1);
    await box.stop('app', told.app.dataDir);
  }
});

void test('a check that hangs is killed with the daemon that it left behind, and has failed', async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const app = await makeApplication(root.path, {
    scripts: {
      start: 'exec sleep 300',
      health: 'test -e "$HOME/hang" || exit 0; (setsid sleep 304 &); sleep 305',
    },
    run: { healthIntervalSeconds: 1, health: { failures: 1, restart: false, timeoutSeconds: 1 } },
  });
  await using _end = endingAll(app);
  await box.start(app);
  await box.check(app);
  await writeFile(join(app.dataDir, 'hang'), '');
  await until('unhealthy', () => box.status('app')?.state === 'failed');
  assert.match(box.status('app')?.note ?? '', /control\/health was killed: it did not end within 1 s/);
  await rm(join(app.dataDir, 'hang'));
  await until('running', () => box.status('app')?.state === 'running');
  assert.deepEqual(
    (await findMarked(app.dataDir)).filter(({ script }) => script === 'health'),
    [],
  );
  await box.stop('app', app.dataDir);
});
