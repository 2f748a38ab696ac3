/** CoAP as clients of other makers speak it, libcoap's and node-coap's, against a real node. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import {
  coapDigest,
  coapKey,
  type CoapMethod,
  coapPath,
  coapProof,
  type CoapResource,
  ddiDeploymentSchema,
} from '@leonore/protocol';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { Agent, type CoapRequestParams } from 'coap';
import { library } from './applications.ts';

const run = promisify(execFile);
const KIB = 1024;
const TOKEN = 'token-of-press-1';
const CBOR_FORMAT = '60';
let site: Site;

/** Debian has the client with one library for TLS each, and without. */
async function findClient(): Promise<string | undefined> {
  for (const name of ['coap-client', 'coap-client-notls', 'coap-client-openssl', 'coap-client-gnutls']) {
    const there = await run('sh', ['-c', `command -v ${name}`]).then(
      () => true,
      () => false,
    );
    if (there) return name;
  }
  return undefined;
}
const program = await findClient();
const skip = program === undefined ? 'libcoap has no client here (libcoap3-bin)' : false;

before(async () => {
  site = await startSite({ nodeArgs: ['--coap-port', '127.0.0.1:0'] });
});
after(() => site[Symbol.asyncDispose]());

/** Both outputs, and the bytes that were brought, if any. */
async function libcoap(...args: readonly string[]): Promise<{ text: string; bytes: Buffer }> {
  const file = join(site.dir, `answer-${randomBytes(4).toString('hex')}`);
  const { stdout, stderr } = await run(program ?? '', ['-B', '60', '-o', file, ...args], { maxBuffer: 2 ** 24 });
  return { text: stdout + stderr, bytes: await readFile(file).catch(() => Buffer.alloc(0)) };
}

async function nonce(): Promise<string> {
  return (await libcoap(`${site.node.coapUrl}/leonore/v1/nonce`)).bytes.toString();
}

interface Gateway {
  /** The arguments that name a resource and prove who asks, as docs/coap.md has it. */
  proven(method: CoapMethod, resource: readonly [CoapResource, ...string[]], body?: Buffer): Promise<string[]>;
  /** Makes a package of this size its task. */
  offer(name: string, size: number): Promise<{ task: string; file: string; sha256: string; size: number }>;
}

async function gateway(id: string): Promise<Gateway> {
  await site.client.gateways.create({ id, token: TOKEN });
  const proven: Gateway['proven'] = async (method, [resource, ...rest], body) => {
    const path = coapPath('default', id, resource, ...rest);
    const query = [...(body ? [`sha256=${coapDigest(body)}`] : []), `nonce=${await nonce()}`];
    const all = [...query, `proof=${coapProof(coapKey(TOKEN), method, path, query)}`];
    // In the address it takes 100 characters of them, as options any number (15: Uri-Query).
    return [...all.flatMap((text) => ['-O', `15,${text}`]), `${site.node.coapUrl}/${path.join('/')}`];
  };
  return {
    proven,
    async offer(name, size) {
      await site.publish({ ...library(name, '1.0.0'), binary: { 'data.bin': randomBytes(size) } });
      await site.client.rollouts.create({ applications: [{ name }], selector: `id=${id}`, strategy: 'pull' });
      const document = await waitFor('the task', async () => {
        const { bytes } = await libcoap(...(await proven('GET', ['task'])));
        return ddiDeploymentSchema.safeParse(JSON.parse(bytes.toString())).data;
      });
      const artifact = document.deployment.chunks[0]?.artifacts[0];
      assert.ok(artifact);
      return { task: document.id, file: artifact.filename, sha256: artifact.hashes.sha256, size: artifact.size };
    },
  };
}

describe("libcoap's client", { skip }, () => {
  it('finds what there is, and is told what is missing', async () => {
    const { proven } = await gateway('press-1');
    const { bytes } = await libcoap(`${site.node.coapUrl}/.well-known/core`);
    const links = bytes.toString();
    assert.match(links, /<\/leonore\/v1\/nonce>;ct=0,/);
    assert.match(links, /<\/leonore\/v1\/%7Btenant%7D\/%7Bid%7D\/task>;rt="leonore.task";obs;ct="50 60"/);
    const task = `${site.node.coapUrl}/leonore/v1/default/press-1/task`;
    assert.match((await libcoap(task)).text, /^4\.01 auth\.missing: send nonce and proof/m);
    const wrong = `${task}?nonce=${await nonce()}&proof=${'0'.repeat(32)}`;
    assert.match((await libcoap(wrong)).text, /^4\.01 auth\.wrong: this proof/m);
    assert.match((await libcoap(`${task}?nonce=${'0'.repeat(24)}&proof=1`)).text, /^4\.01 auth\.wrong: old nonce/m);
    assert.match((await libcoap(`${site.node.coapUrl}/nothing`)).text, /^4\.04 route\.unknown/m);
    assert.match(
      (await libcoap('-A', '0', ...(await proven('GET', ['task'])))).text,
      /^4\.06 request\.not-acceptable/m,
    );
    const put = await libcoap('-m', 'put', '-e', 'x', ...(await proven('PUT', ['task'])));
    assert.match(put.text, /^4\.05 request\.method: task takes GET/m);
  });

  it('brings a package block by block, whole or any block of it', async () => {
    const { proven, offer } = await gateway('press-2');
    const { task, file, sha256, size } = await offer('press-os', 200 * KIB);
    const bring = async (name: string, ...args: readonly string[]) =>
      libcoap(...args, ...(await proven('GET', ['package', task, name])));
    const whole = await bring(file);
    assert.equal(whole.bytes.length, size);
    assert.equal(createHash('sha256').update(whole.bytes).digest('hex'), sha256);
    const block = await bring(file, '-b', '150,512');
    assert.ok(block.bytes.equals(whole.bytes.subarray(150 * 512, 151 * 512)), `${block.bytes.length} bytes`);
    const small = await bring(file, '-b', '64');
    assert.ok(small.bytes.equals(whole.bytes));
    assert.match((await bring(file, '-b', '1000000,1024')).text, /^4\.00 request\.range/m);
    assert.match((await bring('other')).text, /^4\.04 task\.unknown/m);
    const cbor = await libcoap('-A', CBOR_FORMAT, ...(await proven('GET', ['task'])));
    assert.equal((cbor.bytes[0] ?? 0) >> 5, 5, 'a map');
  });

  it('reports in blocks, once and for all', async () => {
    const { proven, offer } = await gateway('press-3');
    const { task } = await offer('press-tool', KIB);
    const report = {
      status: {
        execution: 'closed',
        result: { finished: 'success' },
        details: Array.from({ length: 40 }, (_, i) => `line ${i} of what a script had to say, which is rather much`),
      },
    };
    const body = Buffer.from(JSON.stringify(report));
    assert.ok(body.length > 2 * KIB);
    const file = join(site.dir, 'report.json');
    await writeFile(file, body);
    const post = async (said: Buffer) =>
      libcoap('-m', 'post', '-t', '50', '-b', '512', '-f', file, ...(await proven('POST', ['report', task], said)));
    assert.match((await post(Buffer.from('{}'))).text, /^4\.01 auth\.wrong: the body is not the one/m);
    assert.equal((await post(body)).text.trim(), '');
    const found = await site.client.task(Number(task));
    assert.equal(found.state, 'succeeded');
    assert.ok(JSON.stringify(found).includes('line 39'), JSON.stringify(found));
    assert.match((await post(body)).text, /^4\.04 task\.closed/m);
  });

  it('sends a profile, whole and as a patch', async () => {
    const { proven } = await gateway('press-4');
    const send = async (method: 'PUT' | 'iPATCH', format: string, document: object) => {
      const body = Buffer.from(JSON.stringify(document));
      const named = await proven(method, ['profile'], body);
      return libcoap('-m', method.toLowerCase(), '-t', format, '-e', body.toString(), ...named);
    };
    assert.equal((await send('PUT', '50', { hostname: 'one', revision: 'r1' })).text.trim(), '');
    assert.equal((await send('iPATCH', '52', { base: 'r1', revision: 'r2', hostname: 'two' })).text.trim(), '');
    assert.equal((await site.client.gateways.get('press-4')).profile.hostname, 'two');
    assert.match((await send('iPATCH', '52', { base: 'r1', revision: 'r3' })).text, /^4\.09 profile\.base/m);
    assert.match((await send('PUT', '0', {})).text, /^4\.15 request\.media-type/m);
  });

  it('observes its task and is told of one that comes', async () => {
    const { proven } = await gateway('press-5');
    await using stack = new AsyncDisposableStack();
    const child = spawn(program ?? '', ['-s', '120', '-B', '130', ...(await proven('GET', ['task']))]);
    const exited = new Promise((resolve) => child.once('exit', resolve));
    stack.defer(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    let heard = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    await waitFor('the observation', async () => (await site.client.gateways.get('press-5')).connected);
    await site.publish(library('pushed', '1.0.0'));
    await site.client.rollouts.create({ applications: [{ name: 'pushed' }], selector: 'id=press-5', strategy: 'push' });
    await waitFor('the push', () => heard.includes('"name":"pushed 1.0.0"'), { describe: () => heard });
  });
});

describe("node-coap's client", () => {
  const agent = new Agent({ type: 'udp4' });

  async function get(url: URL, more: CoapRequestParams = {}): Promise<{ code: string; payload: Buffer }> {
    const request = agent.request({
      hostname: url.hostname,
      port: Number(url.port),
      pathname: url.pathname,
      query: url.search.slice(1),
      ...more,
    });
    return new Promise((resolve, reject) => {
      request.on('response', (answer: { code: string; payload: Buffer }) => resolve(answer));
      request.on('error', reject);
      request.on('timeout', reject);
      request.end();
    });
  }
  const fresh = async (): Promise<string> =>
    (await get(new URL(`${site.node.coapUrl}/leonore/v1/nonce`))).payload.toString();

  it('brings a package block by block', async () => {
    await site.client.gateways.create({ id: 'press-6', token: TOKEN });
    await site.publish({ ...library('other-os', '1.0.0'), binary: { 'data.bin': randomBytes(64 * KIB) } });
    await site.client.rollouts.create({ applications: [{ name: 'other-os' }], selector: 'id=press-6' });
    const address = async (...rest: readonly string[]): Promise<URL> => {
      const path = coapPath('default', 'press-6', rest.length > 0 ? 'package' : 'task', ...rest);
      const query = [`nonce=${await fresh()}`];
      const proof = coapProof(coapKey(TOKEN), 'GET', path, query);
      return new URL(`${site.node.coapUrl}/${path.join('/')}?${query.join('&')}&proof=${proof}`);
    };
    const task = await waitFor('the task', async () => {
      const { payload } = await get(await address());
      return ddiDeploymentSchema.safeParse(JSON.parse(payload.toString())).data;
    });
    const artifact = task.deployment.chunks[0]?.artifacts[0];
    assert.ok(artifact);
    const { code, payload } = await get(await address(task.id, artifact.filename));
    assert.equal(code, '2.05');
    assert.equal(createHash('sha256').update(payload).digest('hex'), artifact.hashes.sha256);
  });
});
