/** Months without a network, in simulated time: what is kept, what is tried, and what comes when it is back. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { LeonoreError } from '@leonore/protocol';
import { feedback, silentLogger } from '../connectivity/mod.ts';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { openOutbox } from './outbox.ts';

const DAY_MS = 86_400_000;

void test('reports wait for months, few and bounded; when the server is back all come at once and in order', async () => {
  await using folder = await temporaryFolder();
  const clock = simulatedClock();
  let away = true;
  let tries = 0;
  const arrived: string[] = [];
  const open = () =>
    openOutbox({
      dir: folder.path,
      deliver: async (actionId, report) => {
        tries += 1;
        if (away) throw new LeonoreError('server.unreachable', 'getaddrinfo ENOTFOUND node.example');
        arrived.push(`${actionId} ${report.status.execution} ${report.status.details?.[0] ?? ''}`.trim());
        return 'accepted';
      },
      onGone: () => undefined,
      onClosed: () => undefined,
      logger: silentLogger,
      clock,
    });
  const outbox = await open();
  const stop = new AbortController();
  const running = outbox.run(stop.signal);
  for (let line = 0; line < 5000; line++)
    await outbox.add('7', feedback('proceeding', 'none', { details: [String(line)] }));
  await outbox.add('7', feedback('closed', 'success'));
  await outbox.add('8', feedback('rejected', 'failure'));
  await clock.pass(90 * DAY_MS);
  assert.ok(tries < 90 * 600, `${tries} tries`);
  assert.equal((await readdir(folder.path)).filter((name) => name.endsWith('.json')).length, 2);
  stop.abort();
  await running;

  // A power cut: what was on its way in memory is gone, what ends a task is not.
  const again = await open();
  const going = new AbortController();
  const delivering = again.run(going.signal);
  await again.add('9', feedback('download', 'none'));
  await clock.pass(DAY_MS);
  clock.jump(-50 * 365 * DAY_MS);
  away = false;
  again.hurry();
  await until('all have arrived', () => arrived.length === 3);
  assert.deepEqual(arrived, ['7 closed', '8 rejected', '9 download']);
  await until('nothing is left', async () => (await readdir(folder.path)).length === 0);
  going.abort();
  await delivering;
});
