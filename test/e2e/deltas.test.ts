/** Fewer bytes over the air: an update brings its delta, and what a gateway has already is not sent. Counted on the wire. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type ArtifactFiles, type Site, startAgentProcess, startSite, waitFor, wordsOf } from '@leonore/testkit';

const MACHINE_CODE = randomBytes(1_500_000);
const TEXT = Array.from(
  { length: 20_000 },
  (_, line) => `${line}: the pressure of boiler ${line % 97} is ${line * 7} Pa`,
);

/** Some 2.5 MB, of which each version changes little. `content`: what is in it, if not what the version says. */
function controller(version: string, content = version): ArtifactFiles {
  const machineCode = Buffer.from(MACHINE_CODE);
  machineCode.write(`built as ${content}`, 1_234_567);
  const text = TEXT.with(10_000, `boiler control ${content}`).join('\n');
  return {
    manifest: { name: 'controller', version },
    binary: { controller: machineCode, 'limits.txt': text },
  };
}

describe('an update', () => {
  it('brings header and delta; where files were changed, the segment; the same content, the header', async () => {
    await using site = await startSite();
    const pristine = await startGateway(site, 'gw-pristine');
    await using _pristine = pristine;
    const changed = await startGateway(site, 'gw-changed');
    await using _changed = changed;
    await site.publish(controller('1.0.0'));
    await update(site, '1.0.0');
    const full = pristine.packageBytes();
    assert.ok(full > 1_500_000, `the whole package has ${full} bytes`);
    assert.equal(pristine.asked.length, 1, `asked for: ${pristine.asked.join(', ')}`);

    const limits = (gateway: Gateway) => join(gateway.root, 'components/controller/current/binary/limits.txt');
    await writeFile(limits(changed), 'set by hand');
    await site.publish(controller('1.0.1'));
    // The node makes it by itself when the build is published; a rollout would wait for it, but not for ever.
    await waitFor('the delta', async () => (await site.client.store.status()).deltas.count === 1, {
      timeoutMs: 120_000,
    });
    const second = await update(site, '1.0.1');
    const { headerSize } = await site.client.packages.get(second.packageOf('gw-pristine'));
    assert.match(pristine.asked[1] ?? '', /^package bytes=0-/);
    assert.match(pristine.asked[2] ?? '', /^delta /);
    assert.equal(pristine.asked.length, 3, `asked for: ${pristine.asked.join(', ')}`);
    const came = pristine.packageBytes() - full;
    assert.ok(came < headerSize + 20_000, `${came} bytes for an update, ${headerSize} of them its header`);
    assert.match(
      second.said('gw-pristine'),
      /controller updated from 1\.0\.0 to 1\.0\.1; .* instead of .* MB over the air/,
    );
    assert.ok(!changed.asked.some((what) => what.startsWith('delta')), 'no delta to what was changed');
    assert.ok(changed.packageBytes() - full > 1_500_000);
    for (const gateway of [pristine, changed]) {
      assert.match(await readFile(limits(gateway), 'utf8'), /boiler control 1\.0\.1/);
    }

    const before = pristine.packageBytes();
    await site.publish(controller('1.1.0', '1.0.1'));
    const third = await update(site, '1.1.0');
    const header = (await site.client.packages.get(third.packageOf('gw-pristine'))).headerSize;
    assert.equal(pristine.packageBytes() - before, header);
    assert.match(third.said('gw-pristine'), /updated from 1\.0\.1 to 1\.1\.0; nothing instead of/);
  });
});

/** Brings that version to every gateway. */
async function update(site: Site, version: string) {
  const { tasks } = await site.provision({ applications: [{ name: 'controller', range: version }], selector: '*' });
  assert.deepEqual([...new Set(tasks.map(({ state }) => state))], ['succeeded'], wordsOf(tasks));
  const of = (id: string) => {
    const task = tasks.find(({ gateway }) => gateway === id);
    assert.ok(task);
    return task;
  };
  return {
    packageOf: (id: string) => {
      const { package: found } = of(id);
      assert.ok(found);
      return found;
    },
    said: (id: string) => of(id).message ?? '',
  };
}

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/** An agent behind a proxy that counts what it downloads. */
async function startGateway(site: Site, id: string) {
  await using stack = new AsyncDisposableStack();
  const proxy = stack.use(await countingProxy(site.node.httpUrl));
  const { token } = await site.client.tokens.create();
  const root = join(site.dir, id);
  const agent = stack.use(
    startAgentProcess({ server: proxy.url, id, root, ...(token === undefined ? {} : { token }) }),
  );
  await waitFor(`gateway ${id}`, () => site.client.gateways.get(id).catch(() => undefined), { describe: agent.output });
  const resources = stack.move();
  return { ...proxy, root, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function countingProxy(target: string) {
  let bytes = 0;
  const asked: string[] = [];
  const server = createServer((incoming, answer) => {
    const { url = '/', method, headers } = incoming;
    const isDownload = url.includes('/artifacts/');
    if (isDownload) asked.push(`${url.endsWith('.delta.zst') ? 'delta' : 'package'} ${headers.range ?? 'whole'}`);
    const onward = httpRequest(new URL(url, target), { method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      if (isDownload) response.on('data', (chunk: Buffer) => void (bytes += chunk.length));
      response.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Downloads in the order of their requests: `package bytes=0-99`, `delta whole`. */
    asked,
    packageBytes: () => bytes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
