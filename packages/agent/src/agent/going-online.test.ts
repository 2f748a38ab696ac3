import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDownloadWindow } from '../connectivity/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { startBroker } from '../test-support/broker.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { offerTask } from '../test-support/packages.ts';
import { recordingLogger } from '../test-support/recording-logger.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

void test('push that is switched on later, and moved, is found; the address is kept over a restart', async () => {
  await using folder = await temporaryFolder();
  await using server = await startFakeServer();
  const logger = recordingLogger();
  const options = agentOptions(server, folder.path, { strategy: 'push', logger });
  const kept = async (): Promise<unknown> =>
    (JSON.parse(await readFile(join(folder.path, 'identity.json'), 'utf8')) as { enrolled?: { mqttUrl?: string } })
      .enrolled?.mqttUrl;
  {
    await using _agent = startAgent(options);
    await until('it pulls, and says why', () =>
      logger.lines.some(({ facts }) => facts['why'] === 'the server offers no push'),
    );
    await using first = await startBroker();
    server.mqttUrl = first.url;
    await until('connected to the first', () => first.logins.length > 0);
    await using second = await startBroker();
    server.mqttUrl = second.url;
    await until('connected to the second', () => second.logins.length > 0);
    await until('the first is left', () => first.seen.some(({ payload }) => payload === '{"online":false}'));
    await until('it is kept', async () => (await kept()) === second.url);
  }
  await using third = await startBroker();
  server.mqttUrl = undefined;
  const identity = join(folder.path, 'identity.json');
  const { writeFile } = await import('node:fs/promises');
  await writeFile(identity, (await readFile(identity, 'utf8')).replace(/mqtt:\/\/[^"]+/, third.url));
  await using _agent = startAgent(options);
  await until('connected by what is kept', () => third.logins.length > 0);
});

void test('outside of its download window a task waits, says until when, and can be canceled; without one it goes on', async () => {
  await using folder = await temporaryFolder();
  await using server = await startFakeServer();
  await using _applications = applicationsOf(join(folder.path, 'gateway'));
  const hour = new Date().getHours();
  const window = `${String((hour + 6) % 24)}:00-${String((hour + 7) % 24)}:00`;
  const options = agentOptions(server, join(folder.path, 'gateway'), {
    downloads: { windows: [parseDownloadWindow(window)] },
  });
  const waits = (id: string) => () =>
    server.reports.some(
      ({ actionId, report: { status } }) =>
        actionId === id &&
        status.execution === 'scheduled' &&
        /^waits for its download window until .*:00$/.test(status.details?.[0] ?? ''),
    );
  {
    await using _agent = startAgent(options);
    await offerTask(server, folder.path, { id: 1, components: [{ name: 'sensor' }] });
    await until('it waits', waits('1'));
    server.canceling = '1';
    await until('canceled', () => server.cancelReports.some(({ status }) => status.execution === 'closed'));
    await offerTask(server, folder.path, { id: 2, components: [{ name: 'sensor' }] });
    await until('the next one waits', waits('2'));
    assert.deepEqual(server.sent, []);
  }
  await using _agent = startAgent({ ...options, downloads: { maxRate: 10_000_000 } });
  const end = await until('the end', () => server.closed('2'));
  assert.equal(end.status.result.finished, 'success');
});

void test('a gateway that was known before comes at a random moment; one that has just enrolled at once', async (t) => {
  await using folder = await temporaryFolder();
  await using server = await startFakeServer();
  const options = agentOptions(server, folder.path, { pollIntervalMs: 20_000 });
  const polls = (): number => server.requests.filter(({ path }) => path.endsWith('/gw-1')).length;
  {
    await using _agent = startAgent(options);
    await until('asked at once', () => polls() === 1, 1500);
  }
  t.mock.method(Math, 'random', () => 0.25);
  const began = performance.now();
  await using _agent = startAgent(options);
  await until('asked again', () => polls() === 2);
  assert.ok(performance.now() - began > 450, 'a quarter of the tenth of the interval');
});
