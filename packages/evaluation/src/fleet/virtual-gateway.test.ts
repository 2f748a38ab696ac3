import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpConnectivity } from '@leonore/agent';
import type { DdiFeedback } from '@leonore/protocol';
import { makePackage } from '../testing/made-package.ts';
import { createHeaderReader } from './header-reader.ts';
import { createVirtualGateway, type DrivenGateway, type GatewayTraffic, type TaskEnd } from './virtual-gateway.ts';

const made = makePackage();
const next = makePackage('2.0.0');
const NOW = Date.UTC(2026, 10, 22);

/** A gateway whose downloads wait until `open` is called, and everything it says. */
function stage() {
  const said: string[] = [];
  const ends: TaskEnd[] = [];
  const gate = Promise.withResolvers<void>();
  const traffic: GatewayTraffic = { requests: 0, polls: 0, messagesSent: 0, messagesReceived: 0, packageBytes: 0 };
  const say = (kind: string) => (id: string, report: DdiFeedback) => {
    said.push(`${kind}${id} ${report.status.execution}/${report.status.result.finished}`);
    return Promise.resolve('accepted' as const);
  };
  const http: HttpConnectivity = {
    poll: () => Promise.reject(new Error('not polled here')),
    deployment: () => Promise.resolve(undefined),
    cancel: () => Promise.resolve(undefined),
    feedback: say(''),
    cancelFeedback: say('cancel '),
    async download(url) {
      said.push('GET');
      await gate.promise;
      const { bytes } = url.endsWith('2') ? next : made;
      return { offset: 0, total: bytes.length, etag: undefined, body: once(bytes) };
    },
    putProfile: () => Promise.resolve(),
    patchProfile: () => Promise.resolve(),
  };
  const gateway: DrivenGateway = createVirtualGateway({
    id: 'g',
    http,
    traffic,
    readHeader: createHeaderReader(),
    random: () => 0,
    now: () => NOW,
    signal: new AbortController().signal,
    onEnd: (_gateway, end) => ends.push(end),
  });
  return { gateway, said, ends, open: gate.resolve };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}

const WHOLE = ['download/none', 'downloaded/none', 'closed/success'];

void test('a task that comes twice is done once, and its result told again', async () => {
  const { gateway, said, ends, open } = stage();
  const first = gateway.take(made.deployment(3, 'http://x/1'));
  await gateway.take(made.deployment(3, 'http://x/1'));
  open();
  await first;
  await gateway.take(made.deployment(3, 'http://x/1'));
  assert.deepEqual(said, ['3 download/none', 'GET', '3 downloaded/none', '3 closed/success', '3 closed/success']);
  assert.equal(ends.length, 1);
});

void test('a task that comes in the middle of another is done after it', async () => {
  const { gateway, said, open } = stage();
  const first = gateway.take(made.deployment(3, 'http://x/1'));
  await gateway.take(next.deployment(4, 'http://x/2'));
  open();
  await first;
  assert.deepEqual(
    said.filter((word) => word !== 'GET'),
    [...WHOLE.map((word) => `3 ${word}`), ...WHOLE.map((word) => `4 ${word}`)],
  );
  assert.ok(gateway.installed.every(({ version }) => version === '2.0.0'));
});

void test('what has expired, or is older than what was done, is refused before anything is touched', async () => {
  const { gateway, said, ends, open } = stage();
  open();
  await gateway.take(made.deployment(3, 'http://x/1', NOW - 1));
  assert.deepEqual(said, ['3 rejected/failure']);
  await gateway.take(made.deployment(2, 'http://x/1'));
  assert.deepEqual(said, ['3 rejected/failure', '2 rejected/failure']);
  assert.deepEqual(
    ends.map(({ reason }) => reason),
    ['the task has expired', 'task 2 is older than 3'],
  );
});

void test('a document that is no task of LEONORE is refused with words', async () => {
  const { gateway, said, ends } = stage();
  const foreign = structuredClone(made.deployment(3, 'http://x/1'));
  foreign.deployment.chunks = [];
  await gateway.take(foreign);
  assert.deepEqual(said, ['3 rejected/failure']);
  assert.match(ends[0]?.reason ?? '', /exactly one chunk/);
});

void test('a cancel during the download stops the task before it is installed', async () => {
  const { gateway, said, open } = stage();
  const working = gateway.take(made.deployment(3, 'http://x/1'));
  await gateway.cancel('3');
  open();
  await working;
  assert.deepEqual(said, ['3 download/none', 'GET', 'cancel 3 closed/success']);
  assert.deepEqual(gateway.installed, []);
  assert.equal(gateway.outcomes.canceled, 1);
});

void test('a cancel of a task that never came is confirmed, and takes away the one that waits', async () => {
  const { gateway, said, open } = stage();
  const working = gateway.take(made.deployment(3, 'http://x/1'));
  await gateway.take(next.deployment(4, 'http://x/2'));
  await gateway.cancel('4');
  open();
  await working;
  assert.ok(said.includes('cancel 4 closed/success'));
  assert.ok(!said.includes('4 download/none'));
});
