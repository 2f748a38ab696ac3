/** Agents and nodes that die at bad moments, gateways that are away. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startSite, temporaryFolder, startAgentProcess, waitFor, wordsOf } from '@leonore/testkit';
import { library, service } from './applications.ts';

describe('a push to a gateway that is away', () => {
  it('is delivered by its next pull', async () => {
    await using site = await startSite();
    const agent = await site.agent('gw-1', { strategy: 'push' });
    await site.publish(service('meter', '1.0.0'));
    await agent.process.kill('SIGKILL');
    await waitFor('the node to notice', async () => !(await site.client.gateways.get('gw-1')).connected);
    const rollout = await site.client.rollouts.create({
      applications: [{ name: 'meter' }],
      selector: '*',
      strategy: 'push',
    });
    const waiting = await waitFor('its task', async () => (await site.client.gateways.get('gw-1')).task);
    assert.equal(waiting.state, 'pending');
    assert.equal(waiting.strategy, 'push');
    // Comes back as one that pulls only: no push can have brought it.
    await using back = startAgentProcess({ server: site.node.httpUrl, id: 'gw-1', root: agent.root, strategy: 'pull' });
    const { tasks } = await site.ended(rollout);
    assert.equal(tasks[0]?.state, 'succeeded', `${wordsOf(tasks)}\n${back.output()}`);
    assert.equal(tasks[0]?.deliveredBy, 'pull');
  });
});

describe('an agent that is killed during a download', () => {
  it('goes on where it was, and the bytes come once', async () => {
    await using site = await startSite();
    const size = 3_000_000;
    await site.publish({ ...library('large', '1.0.0'), binary: { 'data.bin': randomBytes(size) } });
    const proxy = await slowProxy(site.node.httpUrl);
    await using _proxy = proxy;
    const { token } = await site.client.tokens.create();
    await using folder = await temporaryFolder();
    const start = () =>
      startAgentProcess({
        server: proxy.url,
        id: 'gw-1',
        root: folder.path,
        ...(token === undefined ? {} : { token }),
      });
    let agent = start();
    await using _agent = { [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose]() };
    await waitFor('the gateway', () => site.client.gateways.get('gw-1').catch(() => undefined), {
      describe: agent.output,
    });
    proxy.limit(size / 3);
    const rollout = await site.client.rollouts.create({
      applications: [{ name: 'large' }],
      selector: '*',
      strategy: 'pull',
    });
    await waitFor('a third of the download', () => proxy.packageBytes() >= size / 3, { describe: agent.output });
    // What reached the disk is what can be gone on from.
    await waitFor(
      'it to be on the disk',
      async () => (await bytesBelow(join(folder.path, 'downloads'))) >= proxy.packageBytes(),
    );
    await agent.kill('SIGKILL');
    proxy.limit(Number.POSITIVE_INFINITY);
    agent = start();
    const { tasks } = await site.ended(rollout);
    assert.equal(tasks[0]?.state, 'succeeded', `${wordsOf(tasks)}\n${agent.output()}`);
    assert.ok(
      proxy.ranges.some((range) => range !== undefined && !range.startsWith('bytes=0-')),
      `ranges asked for: ${proxy.ranges.join(', ')}`,
    );
    assert.ok(proxy.packageBytes() <= size * 1.1, `${proxy.packageBytes()} bytes for a package of about ${size}`);
  });
});

describe('a node that is killed in the middle of a rollout', () => {
  for (const strategy of ['pull', 'push'] as const) {
    it(`finishes it after its restart, nothing lost, nothing installed twice (${strategy})`, async () => {
      await using site = await startSite();
      const ids = ['gw-1', 'gw-2', 'gw-3', 'gw-4'];
      const agents = await Promise.all(ids.map((id) => site.agent(id, { strategy })));
      // Half of them are still installing when the node dies, whatever the machine's speed.
      const gate = join(site.dir, 'gate');
      const install = `echo "install $LEONORE_VERSION" >> "$LEONORE_DATA_DIR/events"
case "$LEONORE_GATEWAY_ID" in gw-1|gw-2) n=0; while [ ! -e "${gate}" ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done;; esac`;
      await site.publish(library('tool', '1.0.0', {}, { install }));
      const rollout = await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: '*', strategy });
      await waitFor(
        'the first half to be done',
        async () => (await site.client.rollouts.get(rollout.id)).counts.succeeded === 2,
      );
      await waitFor(
        'the second half to be at work',
        async () => (await site.client.rollouts.get(rollout.id)).counts.installing === 2,
      );
      await site.restartNode('SIGKILL');
      await writeFile(gate, '');
      const { tasks } = await site.ended(rollout);
      assert.deepEqual(
        tasks.map(({ state }) => state),
        ids.map(() => 'succeeded'),
        wordsOf(tasks),
      );
      for (const agent of agents) {
        assert.equal(await readFile(join(agent.root, 'data', 'tool', 'events'), 'utf8'), 'install 1.0.0\n', agent.id);
      }
    });
  }
});

describe('a gateway that falls silent', () => {
  it('does not hold its rollout: the task fails by its deadline, with words', async () => {
    await using site = await startSite();
    const silent = await site.agent('gw-silent');
    await site.agent('gw-alive');
    await site.publish(
      library('tool', '1.0.0', {}, { install: 'case "$LEONORE_GATEWAY_ID" in gw-silent) sleep 60;; esac' }),
    );
    const rollout = await site.client.rollouts.create({
      applications: [{ name: 'tool' }],
      selector: '*',
      deadlines: { installing: 3 },
    });
    await waitFor(
      'it to be at work',
      async () => (await site.client.gateways.get('gw-silent')).task?.state === 'installing',
    );
    await silent.process.kill('SIGKILL');
    const ended = await site.ended(rollout);
    assert.equal(ended.rollout.state, 'failed');
    assert.deepEqual({ ...ended.rollout.counts }, { ...ended.rollout.counts, total: 2, succeeded: 1, failed: 1 });
    const task = ended.tasks.find(({ gateway }) => gateway === 'gw-silent');
    assert.match(
      task?.message ?? '',
      /deadline passed: it was installing for 3 s without an end; the gateway was last seen/,
    );
  });
  it('that never comes fails while it is awaited', async () => {
    await using site = await startSite();
    await site.client.gateways.create({ id: 'never-came' });
    await site.publish(library('tool', '1.0.0'));
    const { tasks } = await site.provision({
      applications: [{ name: 'tool' }],
      selector: '*',
      deadlines: { pending: 1 },
    });
    assert.match(
      tasks[0]?.message ?? '',
      /it waited for the gateway to fetch it for 1 s without an end; the gateway was never seen/,
    );
  });
});

describe('a gateway that was flashed again', () => {
  it('gets back what it shall have, by itself', async () => {
    await using site = await startSite();
    const agent = await site.agent('gw-1');
    await site.publish(service('meter', '1.0.0'));
    await site.provision({ applications: [{ name: 'meter' }], selector: '*' });
    await agent.process.kill('SIGTERM');
    await rm(join(agent.root, 'components'), { recursive: true });
    await agent.restart();
    await waitFor(
      'the repair',
      async () => {
        const page = await site.client.gateways.tasks('gw-1').list();
        return page.items.length === 2 && page.items[0]?.state === 'succeeded';
      },
      { describe: () => agent.process.output() },
    );
    assert.equal(await readFile(join(agent.root, 'components/meter/current/binary/version.txt'), 'utf8'), '1.0.0\n');
  });
});

async function bytesBelow(dir: string): Promise<number> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map(async (entry) => (await stat(join(dir, entry.name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** A proxy that counts package bytes and stops passing them on past a limit. */
async function slowProxy(target: string) {
  let limit = Number.POSITIVE_INFINITY;
  let passed = 0;
  const ranges: (string | undefined)[] = [];
  const server = createServer((incoming, answer) => {
    const isPackage = incoming.url?.includes('/artifacts/') ?? false;
    if (isPackage && incoming.method === 'GET') ranges.push(incoming.headers.range);
    const onward = httpRequest(
      new URL(incoming.url ?? '/', target),
      { method: incoming.method, headers: incoming.headers },
      (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        if (!isPackage) {
          response.pipe(answer);
          return;
        }
        response.on('data', (chunk: Buffer) => {
          // Past the limit the link is dead: nothing passes, nothing ends.
          if (passed >= limit) return;
          passed += chunk.length;
          answer.write(chunk);
        });
        response.on('end', () => passed < limit && answer.end());
      },
    );
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ranges,
    packageBytes: () => passed,
    limit: (bytes: number) => void (limit = bytes),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
