import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLogger } from '../test-support/recording-logger.ts';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import { createContactLog } from './contact-log.ts';

const DAY_MS = 86_400_000;

void test('half a year away: a line when it goes, one a day, one when it is back', async () => {
  const clock = simulatedClock();
  const logger = recordingLogger();
  let backs = 0;
  const contact = createContactLog(logger, clock, () => backs++);
  contact.back();
  assert.equal(logger.lines.length, 0);
  for (let minute = 0; minute < (180 * DAY_MS) / 300_000; minute++) {
    contact.lost(new Error(`getaddrinfo ENOTFOUND node.example:${minute}`), 1000);
    contact.repeated.warn('the profile could not be sent; trying again', { error: `for the ${minute}th time` });
    await clock.pass(300_000);
  }
  contact.back();
  contact.back();
  const warnings = logger.lines.filter(({ level }) => level === 'warn');
  assert.equal(warnings.length, 180);
  assert.equal(warnings[1]?.facts['timesSince'], 288);
  assert.deepEqual(
    logger.lines.filter(({ level }) => level === 'info').map(({ message, facts }) => [message, facts['afterSeconds']]),
    [['the server answers again', 180 * 86_400]],
  );
  assert.equal(backs, 1);
  contact.lost(new Error('again'), 1000);
  assert.equal(logger.lines.at(-1)?.level, 'warn');
});

void test('another reason is said at once, however many there are no more than 21 a day', async () => {
  const clock = simulatedClock();
  const logger = recordingLogger();
  const { repeated } = createContactLog(logger, clock);
  const complain = (count: number): void => {
    for (let index = 0; index < count; index++) repeated.warn('trouble', { error: 'x'.repeat(index) });
  };
  complain(2);
  complain(2);
  assert.equal(logger.lines.length, 2);
  complain(1000);
  assert.equal(logger.lines.length, 21);
  await clock.pass(DAY_MS);
  complain(1000);
  assert.equal(logger.lines.length, 42);
});
