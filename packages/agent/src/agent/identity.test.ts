import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { EMPTY_PROFILE } from '@leonore/protocol';
import { createHttpClient, silentLogger } from '../connectivity/mod.ts';
import { json, startFakeServer, TOKEN } from '../test-support/fake-server.ts';
import { simulatedClock } from '../test-support/simulated-clock.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { becomeSomebody, rememberAddresses } from './identity.ts';

async function bench() {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const client = stack.use(createHttpClient());
  const clock = simulatedClock();
  const stop = new AbortController();
  const file = join(folder.path, 'identity.json');
  const become = (token: string | undefined) =>
    becomeSomebody(
      {
        file,
        server: server.url,
        id: 'gw-1',
        token,
        client,
        profile: async () => EMPTY_PROFILE,
        logger: silentLogger,
        clock,
      },
      stop.signal,
    );
  return { server, clock, file, become, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

void test('a server that is busy is given the time that it asks for, a hotel that of the back-off; then it is somebody', async () => {
  await using gateway = await bench();
  const { server, clock } = gateway;
  let answers = 0;
  server.intercept = (_, response) => {
    answers += 1;
    if (answers === 1) json(response, 503, {}, { 'retry-after': '600' });
    else if (answers === 2) response.writeHead(302, { location: 'http://login.hotel.example/' }).end();
    return answers <= 2;
  };
  const becoming = gateway.become(TOKEN);
  await until('the first answer', () => answers === 1);
  await clock.pass(599_999);
  assert.equal(answers, 1);
  await until('all three answers', async () => {
    await clock.pass(10_000);
    return answers === 3;
  });
  assert.ok(clock.elapsed() < 1_300_000, `${clock.elapsed()} ms`);
  const identity = await becoming;
  assert.equal(identity.isNew, true);
  assert.equal((await gateway.become(undefined)).isNew, false);
});

void test('other addresses of the server are kept beside everything else', async () => {
  await using gateway = await bench();
  const { secret, ddiUrl } = await gateway.become(TOKEN);
  await rememberAddresses(gateway.file, { ddiUrl, mqttUrl: 'mqtts://node.example:8883' });
  const after = await gateway.become(undefined);
  assert.deepEqual([after.secret, after.ddiUrl, after.mqttUrl], [secret, ddiUrl, 'mqtts://node.example:8883']);
});
