/** A log that is flooded takes little of the disk. */
import assert from 'node:assert/strict';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { silentLogger } from '../connectivity/mod.ts';
import { endingAll, makeApplication, started, testContainer, textOf } from '../test-support/applications.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { keepLog } from './log-keeper.ts';

const MIB = 2 ** 20;

void test('an application that floods its log as fast as it can takes little of the disk, and that is said once', async () => {
  await using root = await temporaryFolder();
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (message: string) => warned.push(message) };
  // As real agents have it: a quiet log is looked at four times a second.
  await using box = testContainer(root.path, { maxLogBytes: MIB, logger, timing: { logMs: 250 } });
  const app = await makeApplication(root.path, { scripts: { start: 'sleep 1; exec yes 0123456789abcdef' } });
  await using _end = endingAll(app);
  await box.start(app);
  const { pid } = await until('a process', async () => (await started(app))[0]);
  const wrote = async (): Promise<number> => Number(/^wchar: (\d+)$/m.exec(await textOf(`/proc/${pid}/io`))?.[1] ?? 0);
  let largest = 0;
  await until(
    'much output',
    async () => {
      const [now, old] = await Promise.all([stat(app.logFile), stat(`${app.logFile}.1`).catch(() => ({ size: 0 }))]);
      largest = Math.max(largest, now.size + old.size);
      assert.ok(old.size <= MIB);
      return (await wrote()) > 4096 * MIB;
    },
    60_000,
  );
  const total = await wrote();
  await box.stop('app', app.dataDir);
  // The first look comes up to 250 ms late; what is written until then is bounded by the machine's speed only.
  assert.ok(largest < total / 4, `${Math.round(largest / MIB)} MiB of ${Math.round(total / MIB)} MiB`);
  assert.equal(warned.filter((message) => /floods its log/.test(message)).length, 1);
});

void test('what stands in the way is told, and it goes on when that is gone', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'app.log');
  await mkdir(`${file}.1`);
  await writeFile(file, 'x'.repeat(3000));
  const closing = new AbortController();
  using _close = { [Symbol.dispose]: () => closing.abort(new Error('the test ends')) };
  const kept = keepLog({ name: 'app', file, maxBytes: 1000, longestMs: 20, logger: silentLogger }, closing.signal);
  await until('it is emptied although its end cannot be kept', async () => (await stat(file)).size === 0);
  await writeFile(file, 'y'.repeat(3000), { flag: 'a' });
  await until('again', async () => (await stat(file)).size === 0);
  closing.abort(new Error('the test ends'));
  await kept;
  await writeFile(file, 'z'.repeat(3000));
  await delay(60);
  assert.equal((await stat(file)).size, 3000, 'not after its end');
});
