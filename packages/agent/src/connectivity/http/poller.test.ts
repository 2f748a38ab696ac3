import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DdiDeployment, LeonoreError } from '@leonore/protocol';
import { recordingLogger } from '../../test-support/recording-logger.ts';
import { simulatedClock } from '../../test-support/simulated-clock.ts';
import type { ChannelListener } from '../channel.ts';
import { createContactLog } from '../contact-log.ts';
import type { PollAnswer } from './http-connectivity.ts';
import { createPoller } from './poller.ts';

const DAY_MS = 86_400_000;
const IDLE: PollAnswer = {
  changed: false,
  sleepSeconds: 300,
  deploymentUrl: undefined,
  cancelUrl: undefined,
  profileWanted: false,
  mqttUrl: undefined,
  coapUrl: undefined,
};
const TASK: DdiDeployment = { id: '5', deployment: { download: 'forced', update: 'forced', chunks: [] } };

/** A gateway that polls, in simulated time. */
function bench(poll: (waitSeconds: number | undefined) => Promise<PollAnswer>, longPollSeconds?: number) {
  const clock = simulatedClock();
  const logger = recordingLogger();
  const heard: string[] = [];
  const polls: number[] = [];
  const listener: ChannelListener = {
    onTask: async ({ id }) => void heard.push(`task ${id}`),
    onCancel: async (id) => void heard.push(`cancel ${id}`),
    onIdle: () => undefined,
    onProfileWanted: () => void heard.push('profile wanted'),
    onAddresses: ({ mqttUrl }) => void heard.push(`push at ${mqttUrl}`),
    onStranger: async () => void heard.push('stranger'),
    onChange: () => undefined,
  };
  const poller = createPoller({
    http: {
      poll: (options) => {
        polls.push(clock.elapsed());
        return poll(options?.waitSeconds);
      },
      deployment: async () => TASK,
      cancel: async () => ({ id: '5', cancelAction: { stopId: '5' } }),
    },
    listener,
    intervalMs: (seconds) => (seconds ?? 300) * 1000,
    longPollSeconds,
    clock,
    random: Math.random,
    contact: createContactLog(logger, clock),
  });
  const stop = new AbortController();
  const done = poller.run(stop.signal);
  return {
    clock,
    listener,
    logger,
    heard,
    polls,
    poller,
    gaps: () => polls.slice(1).map((at, index) => at - (polls[index] ?? 0)),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

void test('the interval of the server, moved by up to a tenth', async () => {
  await using gateway = bench(async () => IDLE);
  await gateway.clock.pass(DAY_MS);
  const gaps = gateway.gaps();
  assert.ok(gaps.length > 260 && gaps.length < 320);
  assert.ok(gaps.every((ms) => ms >= 270_000 && ms <= 330_000));
  assert.ok(Math.max(...gaps) - Math.min(...gaps) > 20_000, 'it is spread');
});

void test('a quarter of a year without a network: asked at most each five minutes, said once a day, and the task is there when it is back', async () => {
  let away = true;
  await using gateway = bench(async () => {
    if (away) throw new LeonoreError('server.unreachable', 'cannot reach it: getaddrinfo EAI_AGAIN node.example');
    return { ...IDLE, deploymentUrl: '/5' };
  });
  const { clock, polls, logger, heard } = gateway;
  await clock.pass(90 * DAY_MS);
  const gaps = gateway.gaps().slice(20);
  assert.ok(Math.max(...gaps) <= 300_000);
  const mean = gaps.reduce((sum, ms) => sum + ms, 0) / gaps.length;
  assert.ok(mean > 140_000 && mean < 160_000, `full jitter: ${mean} ms in the mean`);
  assert.ok(logger.lines.length <= 91, `${logger.lines.length} lines`);
  away = false;
  clock.jump(-20 * 365 * DAY_MS);
  const before = polls.length;
  await clock.pass(300_000);
  assert.ok(polls.length > before);
  assert.equal(heard[0], 'task 5');
  assert.equal(logger.lines.at(-1)?.message, 'the server answers again');
});

void test('a server that asks for patience gets it', async () => {
  await using gateway = bench(async () => {
    throw new LeonoreError('request.rate', 'later', { details: { httpStatus: 429, retryAfterSeconds: 60 } });
  });
  await gateway.clock.pass(3_600_000);
  assert.ok(gateway.polls.length > 10);
  assert.ok(gateway.gaps().every((ms) => ms >= 60_000));
});

void test('a question that was held is asked again at once; one that is not held, at the interval', async () => {
  let isHeld = true;
  let clock: ReturnType<typeof simulatedClock> | undefined;
  const answer = async (waitSeconds: number | undefined): Promise<PollAnswer> => {
    if (isHeld) await clock?.sleep((waitSeconds ?? 0) * 1000);
    return IDLE;
  };
  // The clock is there before the first question.
  await using gateway = bench((waitSeconds) => Promise.resolve().then(() => answer(waitSeconds)), 30);
  clock = gateway.clock;
  await clock.pass(600_000);
  const held = gateway.gaps();
  assert.ok(held.length >= 18, `${held.length} questions in ten minutes`);
  assert.ok(held.every((ms) => ms >= 30_000 && ms <= 31_000));
  isHeld = false;
  const before = gateway.polls.length;
  await clock.pass(3_600_000);
  const asked = gateway.polls.length - before;
  assert.ok(asked <= 15, `${asked} in an hour`);
});

void test('asked to ask: now, or at a moment within the time; what it hears is passed on', async () => {
  await using gateway = bench(async () => ({
    ...IDLE,
    cancelUrl: '/cancel',
    profileWanted: true,
    mqttUrl: 'mqtt://node:1883',
  }));
  const { clock, poller, polls, heard } = gateway;
  await clock.pass(1000);
  assert.deepEqual(heard, ['push at mqtt://node:1883', 'profile wanted', 'cancel 5']);
  poller.ask(0);
  await clock.pass(1);
  assert.equal(polls.length, 2);
  poller.ask(10_000);
  await clock.pass(10_000);
  assert.equal(polls.length, 3);
});

void test('a task that cannot be taken in is said once a day too, and tried again', async () => {
  let tries = 0;
  await using gateway = bench(async () => {
    tries += 1;
    return { ...IDLE, deploymentUrl: '/5' };
  });
  gateway.listener.onTask = async () => {
    throw new Error('ENOSPC: no space left on device');
  };
  await gateway.clock.pass(2 * DAY_MS);
  assert.ok(tries > 1000);
  assert.ok(gateway.logger.lines.length <= 3, JSON.stringify(gateway.logger.lines));
});
