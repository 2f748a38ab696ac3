import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { makePackage } from '../testing/made-package.ts';
import { createFloor, type RecordedTask, type StaticServer } from './floor.ts';
import type { StaticGatewayFiles } from './nginx.ts';

/** What nginx.ts configures, for tests on machines without nginx. */
async function serveStatic(files: (url: string) => StaticGatewayFiles): Promise<StaticServer> {
  let served: StaticGatewayFiles | undefined;
  const server = createServer((request, response) => {
    request.resume();
    const path = request.url ?? '';
    if (path.endsWith('/feedback')) response.writeHead(200).end();
    else if (path.includes('/deploymentBase/')) response.end(served?.deployment);
    else response.end(path === '/package' ? served?.package : served?.poll);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  served = files(url);
  return {
    url,
    pid: process.pid,
    died: new Promise<never>(() => undefined),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const made = makePackage();
const task: RecordedTask = { deployment: made.deployment(7, 'http://elsewhere/package', 1), package: made.bytes };
const signal = AbortSignal.timeout(20_000);

void test('each gateway makes the requests that its strategy takes, and may do so run after run', async () => {
  await using floor = await createFloor(serveStatic, task);
  const push = await floor.run('push', 20, signal);
  const pull = await floor.run('pull', 20, signal);
  // By push: download, and three reports. By pull: a poll and the task document come before.
  assert.deepEqual([push.requestsPerGateway, pull.requestsPerGateway], [4, 6]);
  assert.deepEqual([push.completionsMs.length, pull.completionsMs.length], [20, 20]);
  assert.ok(push.completionsMs.every((ms) => ms > 0));
});

void test('one wrong byte is no result', async () => {
  const wrong = Buffer.from(made.bytes);
  wrong[wrong.length - 1] = (wrong.at(-1) ?? 0) ^ 1;
  await using floor = await createFloor(serveStatic, { ...task, package: wrong });
  await assert.rejects(floor.run('push', 3, signal), /the floor failed for floor-0: .*digest/);
});
