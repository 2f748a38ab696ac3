import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DdiFeedback, EMPTY_PROFILE, LeonoreError, type Strategy } from '@leonore/protocol';
import { recordingLogger } from '../test-support/recording-logger.ts';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import type { Channel, ChannelContext, Protocol, ServerAddresses } from './channel.ts';
import { createConnectivity } from './connectivity.ts';
import { createContactLog } from './contact-log.ts';
import { feedback } from './feedback.ts';
import { createHttpClient } from './http/http-client.ts';
import { mqttProtocol } from './mqtt/mqtt-channel.ts';
import { aborted } from './wait.ts';

const REPORT = feedback('download', 'none');
const UNREACHABLE = new LeonoreError('server.unreachable', 'away');

interface TestChannel {
  readonly context: ChannelContext;
  connected: boolean;
  running: boolean;
  disposed: boolean;
  readonly said: string[];
  readonly asked: number[];
  fails: Error | undefined;
}

/** A protocol that nobody has heard of; all that the agent needs to know of it. */
function protocol(name: string, strategy: Strategy, offer: Protocol['offer'], can: readonly (keyof Channel)[]) {
  const opened: TestChannel[] = [];
  const made: Protocol = {
    name,
    strategy,
    offer,
    open(context) {
      const state: TestChannel = {
        context,
        connected: true,
        running: false,
        disposed: false,
        said: [],
        asked: [],
        fails: undefined,
      };
      opened.push(state);
      const say = async (words: string): Promise<void> => {
        if (state.fails) throw state.fails;
        state.said.push(words);
      };
      const all = {
        report: async (id: string, report: DdiFeedback) => (
          await say(`${id} ${report.status.execution}`), 'accepted' as const
        ),
        reportCancel: async (id: string) => (await say(`cancel ${id}`), 'accepted' as const),
        putProfile: () => say('profile'),
        patchProfile: () => say('patch'),
        ask: (withinMs: number) => void state.asked.push(withinMs),
      };
      return {
        ...Object.fromEntries(Object.entries(all).filter(([key]) => can.some((one) => one === key))),
        get connected() {
          return state.connected;
        },
        async run(signal) {
          state.running = true;
          await aborted(signal);
          state.running = false;
        },
        [Symbol.asyncDispose]: async () => void (state.disposed = true),
      };
    },
  };
  return { made, opened, last: () => opened.at(-1) as TestChannel };
}

function bench(
  strategy: Strategy = 'push',
  addresses: ServerAddresses = { ddiUrl: 'http://node/ddi', mqttUrl: 'mqtt://a' },
) {
  const clock = simulatedClock();
  const logger = recordingLogger();
  const carrier = protocol(
    'carrier',
    'push',
    ({ mqttUrl }) => (mqttUrl === undefined ? { not: 'the server offers none' } : { address: mqttUrl }),
    ['report', 'patchProfile'],
  );
  const letters = protocol('letters', 'pull', ({ ddiUrl }) => ({ address: ddiUrl }), [
    'report',
    'reportCancel',
    'putProfile',
    'patchProfile',
    'ask',
  ]);
  const kept: ServerAddresses[] = [];
  const stranger = async (): Promise<void> => undefined;
  const connectivity = createConnectivity({
    protocols: [carrier.made, letters.made],
    strategy,
    addresses,
    gateway: { server: 'http://node', tenant: 'default', id: 'gw-1', secret: 's' },
    client: createHttpClient(),
    tls: {},
    defaultPollMs: 100_000,
    repairPollMs: 300_000,
    clock,
    random: () => 0.5,
    logger,
    contact: createContactLog(logger, clock),
    listener: {
      onTask: stranger,
      onCancel: stranger,
      onIdle: () => undefined,
      onProfileWanted: () => undefined,
      onStranger: stranger,
      onAddresses: (all) => void kept.push(all),
    },
  });
  return { connectivity, carrier, letters, kept, logger };
}

void test('each thing is said on the first channel that is connected and has words for it, else on the next', async () => {
  const { connectivity, carrier, letters } = bench();
  await connectivity.report('5', REPORT);
  await connectivity.reportCancel('6', REPORT);
  await connectivity.putProfile(EMPTY_PROFILE);
  carrier.last().fails = UNREACHABLE;
  await connectivity.patchProfile({});
  carrier.last().connected = false;
  carrier.last().fails = new Error('must not be asked');
  await connectivity.report('7', REPORT);
  assert.deepEqual(carrier.last().said, ['5 download']);
  assert.deepEqual(letters.last().said, ['cancel 6', 'profile', 'patch', '7 download']);
  letters.last().fails = UNREACHABLE;
  await assert.rejects(connectivity.report('8', REPORT), /away/);
  await assert.rejects(connectivity.download('http://x/'), /no way to the server/);
});

void test('what is refused is not tried again elsewhere', async () => {
  const { connectivity, carrier, letters } = bench();
  carrier.last().fails = new LeonoreError('profile.base', 'another', { details: { httpStatus: 409 } });
  await assert.rejects(connectivity.patchProfile({}), /another/);
  assert.deepEqual(letters.last().said, []);
});

void test('while pushed to it polls slowly; a change of that is a reason to ask, spread', () => {
  const { carrier, letters } = bench();
  const { intervalMs, listener } = letters.last().context;
  assert.equal(intervalMs(60), 300_000);
  assert.equal(intervalMs(3600), 3_600_000);
  carrier.last().connected = false;
  assert.equal(intervalMs(60), 60_000);
  assert.equal(intervalMs(0), 1000);
  assert.equal(intervalMs(undefined), 100_000);
  listener.onChange();
  carrier.last().connected = true;
  listener.onChange();
  assert.deepEqual(letters.last().asked, [100_000, 10_000]);
});

void test('a server that moves its push, or begins with it, is followed; what it said is kept', async () => {
  const { connectivity, carrier, letters, kept, logger } = bench('push', { ddiUrl: 'http://node/ddi' });
  assert.equal(carrier.opened.length, 0);
  assert.deepEqual(
    logger.lines.map(({ facts }) => facts['why']),
    ['the server offers none'],
  );
  const stop = new AbortController();
  const done = connectivity.run(stop.signal);
  const { onAddresses } = letters.last().context.listener;
  onAddresses({ mqttUrl: 'mqtt://a' });
  onAddresses({ mqttUrl: 'mqtt://a' });
  assert.deepEqual(
    carrier.opened.map(({ context, running }) => [context.address, running]),
    [['mqtt://a', true]],
  );
  onAddresses({ mqttUrl: 'mqtt://b' });
  await connectivity.report('5', REPORT);
  assert.deepEqual(
    carrier.opened.map(({ context, running, disposed }) => [context.address, running, disposed]),
    [
      ['mqtt://a', false, true],
      ['mqtt://b', true, false],
    ],
  );
  assert.deepEqual(carrier.last().said, ['5 download']);
  assert.deepEqual(
    kept.map(({ mqttUrl }) => mqttUrl),
    ['mqtt://a', 'mqtt://b'],
  );
  assert.equal(letters.opened.length, 1);
  stop.abort();
  await done;
  await connectivity[Symbol.asyncDispose]();
  assert.ok([...carrier.opened, ...letters.opened].every(({ running, disposed }) => disposed && !running));
});

void test('who pulls is not pushed to', () => {
  const { carrier, letters, logger } = bench('pull');
  assert.equal(carrier.opened.length, 0);
  assert.equal(letters.opened.length, 1);
  assert.deepEqual(logger.lines, []);
});

void test('the secret of a server with TLS is not told to a broker without', () => {
  const offer = (server: string, mqttUrl: string) =>
    mqttProtocol.offer({ ddiUrl: '', mqttUrl }, { server, tenant: 'default', id: 'gw-1', secret: 's' });
  assert.deepEqual(offer('https://node', 'mqtts://node:8883'), { address: 'mqtts://node:8883' });
  assert.deepEqual(offer('http://node', 'mqtt://node:1883'), { address: 'mqtt://node:1883' });
  assert.match(JSON.stringify(offer('HTTPS://node', 'mqtt://node:1883')), /without TLS/);
});
