import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_METADATA, type DdiDeployment, EMPTY_PROFILE, isLeonoreError } from '@leonore/protocol';
import { type FakeServer, json, startFakeServer, TOKEN } from '../../test-support/fake-server.ts';
import { enrol } from './enrol.ts';
import { simulatedClock } from '../../test-support/simulated-clock.ts';
import { feedback } from '../feedback.ts';
import type { Clock } from '../wait.ts';
import { isPassing, retryAfterMs } from './answers.ts';
import { createHttpClient } from './http-client.ts';
import { createHttpConnectivity } from './http-connectivity.ts';
import { parseTask } from '../parse-task.ts';

const SECRET = 'ab'.repeat(32);
function connect(server: FakeServer, client = createHttpClient(), clock?: Clock) {
  return createHttpConnectivity({ server: server.url, tenant: 'default', id: 'gw-1', secret: SECRET, client, clock });
}
export function deployment(
  id: string,
  change: (metadata: Record<string, string>) => void = () => undefined,
): DdiDeployment {
  const metadata: Record<string, string> = {
    [CHUNK_METADATA.packageId]: `p-${'a'.repeat(32)}`,
    [CHUNK_METADATA.gatewayClass]: 'c-1',
    [CHUNK_METADATA.sequence]: id,
    [CHUNK_METADATA.expires]: '4102444800000',
    [CHUNK_METADATA.encoding]: 'zstd',
    [CHUNK_METADATA.headerSha256]: 'b'.repeat(64),
    [CHUNK_METADATA.headerSize]: '100',
  };
  change(metadata);
  return {
    id,
    deployment: {
      download: 'forced',
      update: 'forced',
      chunks: [
        {
          part: 'leonore',
          version: '1',
          name: 'n',
          artifacts: [
            {
              filename: 'package.tar.zst',
              hashes: { sha1: '', md5: '', sha256: '' },
              size: 1000,
              _links: { 'download-http': { href: 'http://server/packages/x' } },
            },
          ],
          metadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
        },
      ],
    },
  };
}

void test('enrols; a wrong token is a clear error that does not pass by itself', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient();
  const wish = { server: server.url, client, id: 'gw-1', secret: SECRET };
  const answer = await enrol({ ...wish, token: TOKEN, profile: EMPTY_PROFILE });
  assert.equal(answer.ddiUrl, `${server.url}/DEFAULT/controller/v1/gw-1`);
  await assert.rejects(enrol({ ...wish, token: 'wrong' }), (error: unknown) => {
    return isLeonoreError(error, 'token.invalid') && !isPassing(error);
  });
});

void test('polls with its ETag: 304 gives what was said before', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  const http = connect(server);
  const first = await http.poll();
  assert.deepEqual(first, {
    changed: true,
    sleepSeconds: 1,
    deploymentUrl: undefined,
    cancelUrl: undefined,
    profileWanted: false,
    mqttUrl: undefined,
    coapUrl: undefined,
  });
  server.offered = deployment('3');
  const second = await http.poll();
  assert.ok(second.deploymentUrl);
  const third = await http.poll();
  assert.deepEqual(third, { ...second, changed: false });
  assert.deepEqual(await http.deployment(second.deploymentUrl), server.offered);
  server.canceling = '3';
  const { cancelUrl } = await http.poll();
  assert.ok(cancelUrl);
  assert.equal((await http.cancel(cancelUrl))?.cancelAction.stopId, '3');
});

void test('feedback is accepted, gone or unknown; a failing server is an error that may pass, with its Retry-After', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  const clock = simulatedClock();
  const http = connect(server, createHttpClient(), clock);
  const report = feedback('download', 'none');
  assert.equal(await http.feedback('7', report), 'accepted');
  server.gone.add('7');
  assert.equal(await http.feedback('7', report), 'gone');
  server.intercept = (_, response) => {
    json(response, 503, {}, { 'retry-after': '7' });
    return true;
  };
  await assert.rejects(
    http.feedback('7', report),
    (error: unknown) => isPassing(error) && retryAfterMs(error) === 7000,
  );
  server.intercept = (_, response) => {
    json(response, 404, {});
    return true;
  };
  await clock.pass(7000);
  assert.equal(await http.feedback('7', report), 'unknown');
});

void test('nonsense from a server is an error, not a crash', async () => {
  await using server = await startFakeServer();
  const http = connect(server);
  for (const body of ['', '<html>', '[]', '{"config":{}}', '{"config":{"polling":{"sleep":"soon"}}}']) {
    server.intercept = (_, response) => {
      response.end(body);
      return true;
    };
    await assert.rejects(http.poll(), (error: unknown) => isLeonoreError(error), body);
  }
  server.intercept = (_, response) => {
    response.writeHead(200);
    response.write('{"config":');
    setTimeout(() => response.destroy(), 20);
    return true;
  };
  await assert.rejects(http.poll(), (error: unknown) => isPassing(error));
});

void test('a kept connection that the server has closed is replaced without a word', async () => {
  await using server = await startFakeServer();
  server.secret = SECRET;
  const http = connect(server);
  await http.poll();
  await server.down();
  await server.up();
  await http.poll();
});

void test('a server that does not answer is given up', async () => {
  await using server = await startFakeServer();
  using client = createHttpClient({ idleTimeoutMs: 100 });
  server.intercept = () => true;
  await assert.rejects(connect(server, client).poll(), /no answer for/);
});

void test('parseTask reads what the agent needs and says what is missing', () => {
  assert.deepEqual(parseTask(deployment('12')), {
    actionId: '12',
    packageId: `p-${'a'.repeat(32)}`,
    sequence: 12,
    expires: 4_102_444_800_000,
    encoding: 'zstd',
    headerSha256: 'b'.repeat(64),
    headerSize: 100,
    size: 1000,
    url: 'http://server/packages/x',
    gatewayClass: 'c-1',
    deltas: [],
  });
  const without = (key: string): DdiDeployment => deployment('12', (metadata) => delete metadata[key]);
  const optional: readonly string[] = [CHUNK_METADATA.deltas, CHUNK_METADATA.gateway, CHUNK_METADATA.downgrade];
  for (const key of Object.values(CHUNK_METADATA).filter((one) => !optional.includes(one))) {
    assert.throws(() => parseTask(without(key)), new RegExp(`task 12 .*${key}`));
  }
  assert.throws(() => parseTask(deployment('1', (m) => void (m[CHUNK_METADATA.headerSize] = '1001'))), /cannot hold/);
  assert.throws(() => parseTask(deployment('1', (m) => void (m[CHUNK_METADATA.encoding] = 'lzma'))), /encoding/);
  const foreign = deployment('1');
  assert.throws(
    () => parseTask({ ...foreign, deployment: { ...foreign.deployment, chunks: [] } }),
    /exactly one chunk/,
  );
});

void test('parseTask takes the offers of deltas that it understands, and is never refused for the others', () => {
  const deltas = (text: string) => parseTask(deployment('1', (m) => void (m[CHUNK_METADATA.deltas] = text)));
  const offer = {
    kind: 'zstd',
    name: 'svm',
    from: 'a'.repeat(64),
    sha256: 'b'.repeat(64),
    size: 8000,
    fromSize: 12_000_000,
    toSize: 12_000_001,
    href: '/d',
  };
  assert.deepEqual(deltas(JSON.stringify([offer])).deltas, [offer]);
  assert.equal(deltas(JSON.stringify([offer])).deltaFault, undefined);
  const mixed = deltas(JSON.stringify([{ ...offer, kind: 'bsdiff' }, offer, { ...offer, size: -1 }, null]));
  assert.deepEqual(mixed.deltas, [offer]);
  assert.match(mixed.deltaFault ?? '', /3 of 4/);
  for (const broken of ['', '{', '{}', 'null', JSON.stringify(Array.from({ length: 501 }, () => offer))]) {
    const { deltas: none, deltaFault } = deltas(broken);
    assert.deepEqual(none, []);
    assert.ok(deltaFault);
  }
});
