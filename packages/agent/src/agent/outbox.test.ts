import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DdiFeedback, LeonoreError } from '@leonore/protocol';
import { type FeedbackOutcome, feedback, silentLogger } from '../connectivity/mod.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { openOutbox } from './outbox.ts';

const END = feedback('closed', 'success', { details: ['done'] });
const STEP = feedback('proceeding', 'none', { details: ['step'] });

async function bench(dir: string, deliver: (actionId: string, report: DdiFeedback) => FeedbackOutcome) {
  const delivered: string[] = [];
  const gone: string[] = [];
  const closed: string[] = [];
  const outbox = await openOutbox({
    dir,
    async deliver(actionId, report) {
      const outcome = deliver(actionId, report);
      delivered.push(`${actionId} ${report.status.execution}`);
      return outcome;
    },
    onGone: (id) => gone.push(id),
    onClosed: (id) => closed.push(id),
    logger: silentLogger,
    backoff: { initialMs: 1, maxMs: 5 },
  });
  return { outbox, delivered, gone, closed };
}
function httpError(status: number): LeonoreError {
  return new LeonoreError('server.internal', `answered ${status}`, { details: { httpStatus: status } });
}

void test('delivers in order, waits for a server that is away, loses nothing', async () => {
  await using root = await temporaryFolder();
  let faults = 3;
  const { outbox, delivered, closed } = await bench(root.path, () => {
    if (faults-- > 0) throw new LeonoreError('server.unreachable', 'away');
    return 'accepted';
  });
  const stopping = new AbortController();
  const running = outbox.run(stopping.signal);
  await outbox.add('1', STEP);
  await outbox.add('1', END);
  await outbox.add('2', STEP);
  await until('all delivered', () => delivered.length === 3);
  assert.deepEqual(delivered, ['1 proceeding', '1 closed', '2 proceeding']);
  assert.deepEqual(closed, ['1']);
  assert.deepEqual(await readdir(root.path), []);
  stopping.abort();
  await running;
});

void test('the end of a task survives a restart, in order; a torn file among them does no harm', async () => {
  await using root = await temporaryFolder();
  const first = await bench(root.path, () => 'accepted');
  await first.outbox.add('1', STEP);
  await first.outbox.add('1', END);
  await first.outbox.add('2', feedback('rejected', 'failure'));
  await writeFile(join(root.path, '0000000007.json'), '{"actionId":');
  const second = await bench(root.path, () => 'accepted');
  assert.ok(second.outbox.holdsEndOf('1'));
  assert.ok(!second.outbox.holdsEndOf('3'));
  const stopping = new AbortController();
  const running = second.outbox.run(stopping.signal);
  await second.outbox.add('3', END);
  await until('all delivered', () => second.delivered.length === 3);
  assert.deepEqual(second.delivered, ['1 closed', '2 rejected', '3 closed']);
  await until('no file left', async () => (await readdir(root.path)).length === 0);
  stopping.abort();
  await running;
});

void test('gone or unknown: every report of that task is dropped, others go on', async () => {
  await using root = await temporaryFolder();
  const { outbox, delivered, gone } = await bench(root.path, (id) => (id === '1' ? 'gone' : 'accepted'));
  await outbox.add('1', STEP);
  await outbox.add('1', STEP);
  await outbox.add('1', END);
  await outbox.add('2', END);
  const stopping = new AbortController();
  const running = outbox.run(stopping.signal);
  await until('the other', () => delivered.includes('2 closed'));
  assert.deepEqual(delivered, ['1 proceeding', '2 closed']);
  assert.deepEqual(gone, ['1']);
  stopping.abort();
  await running;
});

void test('a report that the server refuses does not block the others; lost credentials lose no report', async () => {
  await using root = await temporaryFolder();
  let unauthorized = 2;
  const { outbox, delivered } = await bench(root.path, (id) => {
    if (id === '1') throw httpError(400);
    if (unauthorized-- > 0) throw httpError(401);
    return 'accepted';
  });
  await outbox.add('1', END);
  await outbox.add('2', END);
  const stopping = new AbortController();
  const running = outbox.run(stopping.signal);
  await until('the good one', () => delivered.length === 1);
  assert.deepEqual(delivered, ['2 closed']);
  await until('no file left', async () => (await readdir(root.path)).length === 0);
  stopping.abort();
  await running;
});
