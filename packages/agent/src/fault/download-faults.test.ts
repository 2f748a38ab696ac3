/** What the way or the server does to a download: it ends with the published bytes or is refused, and costs little more than them. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DdiFeedback } from '@leonore/protocol';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { cutAfter, type Request, startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, type MadeTask, makeTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { randomFrom } from './random.ts';

const SEED = 5;

async function bench() {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  stack.use(startAgent(agentOptions(server, root, { applicationUsers: 'agent' })));
  const at = (...parts: string[]): string => join(root, ...parts);
  const make = (sketch: TaskSketch): Promise<MadeTask> => makeTask(server, work.path, sketch);
  const end = async (made: MadeTask): Promise<DdiFeedback> => {
    server.offered = made.deployment;
    const { id } = made.deployment;
    return until(`end of task ${id}`, () => server.closed(id), 60_000);
  };
  const isEmpty = (...folders: string[]): Promise<unknown> =>
    until(
      `nothing in ${folders.join()}`,
      async () => (await Promise.all(folders.map((one) => readdir(at(one))))).flat().length === 0,
    );
  /** Bytes of bodies that were sent for packages and deltas. */
  const sent = (): number => server.sent.reduce((sum, { bytes }) => sum + bytes, 0);
  return { server, at, make, end, isEmpty, sent, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const library = (version: string, noise: Uint8Array, more: Partial<ArtifactSketch> = {}): ArtifactSketch => ({
  name: 'library',
  version,
  run: null,
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  binary: { noise },
  ...more,
});
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');

void test('cut at 1, 50 and 99 %, once each and all in one: gone on with, at most 1.1 times the bytes', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  for (const [index, shares] of [[0.01], [0.5], [0.99], [0.01, 0.5, 0.99]].entries()) {
    const noise = randomBytes(300_000);
    const made = await gateway.make({
      id: 1 + index,
      components: [{ ...library('1.0.0', noise), name: `library-${index}` }],
    });
    const cuts = shares.map((share) => Math.floor(share * made.bytes.length));
    server.sent.length = 0;
    server.intercept = (request, response) => {
      if (request.path !== made.path) return false;
      const [, first = 0, last = made.bytes.length - 1] = /^bytes=(\d+)-(\d+)?/.exec(request.headers.range ?? '') ?? [];
      const from = Number(first);
      const cut = cuts.find((at) => at > from && at <= Number(last));
      if (cut === undefined) return false;
      cuts.splice(cuts.indexOf(cut), 1);
      cutAfter(server, request, response, cut - from);
      return true;
    };
    const report = await gateway.end(made);
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.deepEqual(cuts, []);
    assert.ok(gateway.sent() <= 1.1 * made.bytes.length, `${gateway.sent()} of ${made.bytes.length}`);
    assert.deepEqual(await readFile(gateway.at(`components/library-${index}/current/binary/noise`)), noise);
  }
});

void test('one bit flipped anywhere in header, segment or delta: never installed; loaded anew, or refused with nothing left', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const random = randomFrom(SEED);
  const flipped = (bytes: Uint8Array, offset: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[offset] = (copy[offset] ?? 0) ^ (1 << Math.floor(random() * 8));
    return copy;
  };
  for (let id = 1; id <= 12; id++) {
    const noise = randomBytes(3000);
    const made = await gateway.make({ id, components: [{ ...library('1.0.0', noise), name: `library-${id}` }] });
    const inHeader = id % 3 === 0;
    const offset = Math.floor(random() * (inHeader ? made.headerSize : made.bytes.length));
    const always = id % 2 === 0;
    const served = server.packages.get(made.path);
    assert.ok(served);
    let left = always ? Infinity : 1;
    server.intercept = (request) => {
      if (request.path !== made.path) return false;
      const bytes = left-- > 0 ? flipped(made.bytes, offset) : made.bytes;
      server.packages.set(made.path, { ...served, bytes });
      return false;
    };
    const report = await gateway.end(made);
    const what = `task ${id}: bit in byte ${offset} of ${made.bytes.length}, header ${made.headerSize}`;
    // What follows the last segment belongs to the package, but to no component: nobody reads it.
    const harmless = offset >= made.headerSize + made.manifest.payloadSize;
    if (always && !harmless) {
      assert.equal(report.status.result.finished, 'failure', what);
      assert.deepEqual((await readdir(gateway.at('components'))).includes(`library-${id}`), false, what);
    } else {
      assert.equal(report.status.result.finished, 'success', `${what}: ${said(report)}`);
      assert.deepEqual(await readFile(gateway.at(`components/library-${id}/current/binary/noise`)), noise, what);
    }
    await gateway.isEmpty('staging');
  }
  const old = randomBytes(40_000);
  const base = await gateway.make({ id: 20, components: [library('1.0.0', old)] });
  await gateway.end(base);
  for (let id = 21; id <= 24; id++) {
    const noise = Buffer.from(old);
    randomBytes(64).copy(noise, id * 100);
    const from = `1.0.${id === 21 ? 0 : id - 1}`;
    const tar = id === 21 ? base.tars['library'] : tars.get(id - 1);
    assert.ok(tar);
    const sketch = { ...library(`1.0.${id}`, noise), replaces: from, deltaFrom: { tar } };
    const made = await gateway.make({ id, components: [sketch] });
    tars.set(id, made.tars['library'] ?? Buffer.alloc(0));
    const path = new URL(made.deltas[0]?.href ?? '').pathname;
    const served = server.packages.get(path);
    assert.ok(served);
    server.packages.set(path, { ...served, bytes: flipped(served.bytes, Math.floor(random() * served.bytes.length)) });
    server.intercept = () => false;
    const report = await gateway.end(made);
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.deepEqual(await readFile(gateway.at('components/library/current/binary/noise')), noise);
  }
});
const tars = new Map<number, Buffer>();

void test('another length, more or fewer bytes than announced, 200 for a range, another ETag in the middle: clean, or refused', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const half = (made: MadeTask): number => Math.floor(made.bytes.length / 2);
  const etag = (made: MadeTask): string => server.packages.get(made.path)?.etag ?? '';
  type Answer = (made: MadeTask, request: Request, response: ServerResponse) => boolean;
  const first: Answer = (made, request, response) => {
    if (request.headers.range !== undefined) return false;
    cutAfter(server, request, response, half(made));
    return true;
  };
  const cases: readonly { what: string; answer: Answer; finished: 'success' | 'failure'; times: number }[] = [
    {
      what: 'a content-length that is too short',
      finished: 'failure',
      times: 3,
      answer(made, _request, response) {
        response.writeHead(200, { 'content-length': made.bytes.length - 1, etag: etag(made) });
        response.end(made.bytes.subarray(0, -1));
        return true;
      },
    },
    {
      what: 'bytes behind the end',
      finished: 'failure',
      times: 3,
      answer(made, _request, response) {
        response.writeHead(200, { 'content-length': made.bytes.length + 1, etag: etag(made) });
        response.end(Buffer.concat([made.bytes, Buffer.from('x')]));
        return true;
      },
    },
    {
      what: '200 and everything for a range',
      finished: 'success',
      times: 1,
      answer(made, request, response) {
        if (first(made, request, response)) return true;
        response.writeHead(200, { 'content-length': made.bytes.length, etag: etag(made) });
        response.end(made.bytes);
        return true;
      },
    },
    {
      what: 'another ETag with the rest',
      finished: 'success',
      times: 2,
      answer(made, request, response) {
        if (first(made, request, response)) return true;
        if (changed++ > 0) return false;
        const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1]);
        response.writeHead(206, {
          'content-length': made.bytes.length - from,
          'content-range': `bytes ${from}-${made.bytes.length - 1}/${made.bytes.length}`,
          etag: '"another"',
        });
        response.end(made.bytes.subarray(from));
        return true;
      },
    },
  ];
  let changed = 0;
  for (const [index, { what, answer, finished, times }] of cases.entries()) {
    const noise = randomBytes(100_000);
    const made = await gateway.make({
      id: 1 + index,
      components: [{ ...library('1.0.0', noise), name: `library-${index}` }],
    });
    const before = server.requests.length;
    server.intercept = (request, response) => request.path === made.path && answer(made, request, response);
    const report = await gateway.end(made);
    assert.equal(report.status.result.finished, finished, `${what}: ${said(report)}`);
    const asked = server.requests.slice(before).filter(({ path }) => path === made.path).length;
    assert.ok(asked <= times + 1, `${what}: asked ${asked} times`);
    if (finished === 'failure')
      assert.equal((await readdir(gateway.at('components'))).includes(`library-${index}`), false, what);
    else assert.deepEqual(await readFile(gateway.at(`components/library-${index}/current/binary/noise`)), noise, what);
    await gateway.isEmpty('staging');
  }
});

void test('a server that sends 100 bytes a second is waited for: a byte now and then is no silence', async () => {
  await using gateway = await bench();
  const { server } = gateway;
  const noise = createHash('sha256').update('slow').digest();
  const made = await gateway.make({ id: 1, components: [library('1.0.0', noise)] });
  server.intercept = (request, response) => {
    if (request.path !== made.path) return false;
    response.writeHead(200, { 'content-length': made.bytes.length, etag: server.packages.get(made.path)?.etag ?? '' });
    let at = 0;
    const timer = setInterval(() => {
      response.write(made.bytes.subarray(at, at + 10));
      at += 10;
      if (at < made.bytes.length) return;
      clearInterval(timer);
      response.end();
    }, 100);
    response.on('close', () => clearInterval(timer));
    return true;
  };
  const report = await gateway.end(made);
  assert.equal(report.status.result.finished, 'success', said(report));
  assert.equal(server.requests.filter(({ path }) => path === made.path).length, 1);
  assert.deepEqual(await readFile(gateway.at('components/library/current/binary/noise')), noise);
});
