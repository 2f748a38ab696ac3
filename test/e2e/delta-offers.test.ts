/** What the node offers to gateways that can apply deltas, call by call, over plain HTTP: the gateways are this test. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { applyDelta } from '@leonore/app-package';
import {
  CHUNK_METADATA,
  ddiDeploymentSchema,
  ddiPollSchema,
  deltaOffersSchema,
  type Artifact,
  type DeltaOffer,
} from '@leonore/protocol';
import { startSite, waitFor, type ArtifactFiles, type Site } from '@leonore/testkit';

const MACHINE_CODE = randomBytes(500_000);
let site: Site;
let old: Artifact;
let next: Artifact;

function meter(version: string): ArtifactFiles {
  const code = Buffer.from(MACHINE_CODE);
  code.write(`version ${version}`, 200_000);
  return { manifest: { name: 'meter', version }, binary: { 'code.bin': code }, control: {} };
}

before(async () => {
  site = await startSite();
  old = await site.publish(meter('1.0.0'));
  next = await site.publish(meter('1.0.1'));
});
after(() => site[Symbol.asyncDispose]());

const headersOf = (id: string) => ({ authorization: `TargetToken token-of-${id}` });

/** A gateway that has the old version and is told to take the new one: its document. */
async function told(id: string, profile: object) {
  await site.client.gateways.create({
    id,
    token: `token-of-${id}`,
    profile: {
      ...profile,
      os: 'linux',
      installed: [{ name: 'meter', version: '1.0.0', requested: true, state: 'installed' }],
    },
  });
  await site.client.rollouts.create({ applications: [{ name: 'meter', range: '1.0.1' }], selector: `id=${id}` });
  await waitFor('the task', async () => (await site.client.gateways.get(id)).task);
  const headers = headersOf(id);
  const poll = ddiPollSchema.parse(
    await (await fetch(`${site.node.httpUrl}/default/controller/v1/${id}`, { headers })).json(),
  );
  assert.ok(poll._links?.deploymentBase);
  const document = ddiDeploymentSchema.parse(await (await fetch(poll._links.deploymentBase.href, { headers })).json());
  const [chunk] = document.deployment.chunks;
  const offers = chunk?.metadata?.find(({ key }) => key === CHUNK_METADATA.deltas)?.value;
  return { headers, offers: offers === undefined ? undefined : deltaOffersSchema.parse(JSON.parse(offers)) };
}

async function tarOf(artifact: Artifact): Promise<Buffer> {
  const [gzip] = artifact.segments.filter(({ encoding }) => encoding === 'gzip');
  assert.ok(gzip);
  const blob = join(site.dir, 'node', 'blobs', gzip.sha256.slice(0, 2), gzip.sha256);
  return gunzipSync(await readFile(blob));
}

describe('a gateway that applies deltas', () => {
  let headers: Record<string, string> = {};
  let offer: DeltaOffer;

  it('is offered one with its first look at the task', async () => {
    const { offers, ...rest } = await told('able', { deltas: ['zstd'] });
    headers = rest.headers;
    assert.equal(offers?.length, 1);
    offer = offers[0]!;
    assert.equal(offer.name, 'meter');
    assert.equal(offer.from, old.contentSha256);
    assert.ok(offer.size < 10_000, `${offer.size} bytes`);
  });

  it('gets bytes that make the new build of the old one', async () => {
    const oldTar = await tarOf(old);
    assert.equal(oldTar.length, offer.fromSize);
    const response = await fetch(offer.href, { headers });
    assert.equal(response.status, 200);
    const delta = Buffer.from(await response.arrayBuffer());
    assert.equal(delta.length, offer.size);
    assert.equal(createHash('sha256').update(delta).digest('hex'), offer.sha256);
    const source = (async function* () {
      yield await Promise.resolve(delta);
    })();
    const made = Buffer.concat(await Array.fromAsync(applyDelta(source, oldTar, { maxBytes: offer.toSize })));
    assert.equal(createHash('sha256').update(made).digest('hex'), next.contentSha256);
    assert.equal((await site.client.gateways.get('able')).task?.state, 'downloading');
  });

  it('asks for it as for a package: ranges, tags, heads', async () => {
    const whole = Buffer.from(await (await fetch(offer.href, { headers })).arrayBuffer());
    const head = await fetch(offer.href, { method: 'HEAD', headers });
    assert.equal(head.headers.get('content-length'), String(offer.size));
    const etag = head.headers.get('etag') ?? '';
    assert.equal(etag, `"${offer.sha256}"`);
    const ask = (more: Record<string, string>) => fetch(offer.href, { headers: { ...headers, ...more } });
    const rest = await ask({ range: 'bytes=10-', 'if-range': etag });
    assert.equal(rest.status, 206);
    assert.equal(rest.headers.get('content-range'), `bytes 10-${offer.size - 1}/${offer.size}`);
    assert.ok(Buffer.from(await rest.arrayBuffer()).equals(whole.subarray(10)));
    assert.equal((await ask({ range: 'bytes=10-', 'if-range': '"other"' })).status, 200);
    assert.equal((await ask({ 'if-none-match': etag })).status, 304);
    assert.equal((await ask({ 'if-match': '"other"' })).status, 412);
    assert.equal((await ask({ range: `bytes=${offer.size}-` })).status, 416);
  });

  it('gets none that its task does not name, and nobody else gets its', async () => {
    const [segment] = next.segments;
    assert.ok(segment);
    for (const sha256 of ['0'.repeat(64), segment.sha256, offer.sha256.toUpperCase(), '../able']) {
      const url = offer.href.replace(offer.sha256, encodeURIComponent(sha256));
      assert.equal((await fetch(url, { headers })).status, 404, sha256);
    }
    assert.equal((await fetch(offer.href)).status, 401);
    await told('other', { deltas: ['zstd'] });
    const others = offer.href.replace('/able/', '/other/');
    assert.equal((await fetch(others, { headers: headersOf('other') })).status, 404, 'the task is not its own');
    assert.equal((await fetch(offer.href, { headers: headersOf('other') })).status, 401);
  });

  it('gets none when its bytes are gone, and the whole package all the same', async () => {
    await site.restartNode('SIGKILL');
    await rm(join(site.dir, 'node', 'blobs', offer.sha256.slice(0, 2), offer.sha256));
    const url = new URL(offer.href);
    url.port = new URL(site.node.httpUrl).port;
    const gone = await fetch(url, { headers });
    assert.equal(gone.status, 404);
    assert.match(await gone.text(), /no such delta/);
    const { offers } = await told('later', { deltas: ['zstd'] });
    assert.equal(offers?.[0]?.sha256, offer.sha256, 'it was made again');
  });

  it('is told in the metrics', async () => {
    const metrics = await (await fetch(`${site.node.httpUrl}/metrics`)).text();
    assert.match(metrics, /^leonore_deltas_made_total 1$/m);
  });
});

describe('a gateway is offered no delta', () => {
  it('that does not say that it applies them', async () => {
    assert.equal((await told('unable', {})).offers, undefined);
  });
  it('that has too little memory', async () => {
    const { offers } = await told('small', { deltas: ['zstd'], memory: { total: 3_000_000, free: 2_000_000 } });
    assert.equal(offers, undefined);
  });
});
