/**
 * hawkBit's DDI as pull clients of other makers speak it (docs/gateway-protocol.md): what SWUpdate, rauc-hawkbit-updater and
 * Zephyr depend on, call by call, over plain HTTP.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ddiDeploymentSchema, ddiPollSchema, type DdiDeployment } from '@leonore/protocol';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { library } from './applications.ts';

const GATEWAY_TOKEN = 'any-gateway-of-this-maker';
let site: Site;
before(async () => {
  site = await startSite({ nodeArgs: ['--gateway-token', GATEWAY_TOKEN] });
  await site.publish({ ...library('tool', '1.0.0'), binary: { 'data.bin': Buffer.alloc(100_000, 'leonore') } });
});
after(() => site[Symbol.asyncDispose]());

type Init = RequestInit & { auth?: string };

async function ddi(path: string, init: Init = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.auth !== '') headers.set('authorization', init.auth ?? `TargetToken token-of-${path.split(/[/?]/)[0]}`);
  return fetch(`${site.node.httpUrl}/default/controller/v1/${path}`, { ...init, headers });
}

const json = (method: string, body: unknown): Init => ({
  method,
  headers: { 'content-type': 'application/json;charset=UTF-8' },
  body: JSON.stringify(body),
});
const status = (execution: string, finished: string, details: string[] = []) =>
  json('POST', { id: 7, time: '20261122T101010', status: { execution, result: { finished }, details } });

async function poll(id: string, init: Init = {}) {
  const response = await ddi(id, init);
  assert.equal(response.status, 200);
  return ddiPollSchema.parse(await response.json());
}

/** A gateway of another maker with a task that waits for it. */
async function target(id: string): Promise<{ taskId: number; rollout: number }> {
  await site.client.gateways.create({
    id,
    token: `token-of-${id}`,
    profile: { os: 'linux', arch: 'x64', libc: 'glibc' },
  });
  const rollout = await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: `id=${id}` });
  const task = await waitFor('the task', async () => (await site.client.gateways.get(id)).task);
  return { taskId: task.id, rollout: rollout.id };
}

async function deployment(id: string): Promise<{ document: DdiDeployment; artifact: URL; size: number }> {
  const { _links } = await poll(id);
  assert.ok(_links?.deploymentBase);
  const headers = { authorization: `TargetToken token-of-${id}` };
  const document = ddiDeploymentSchema.parse(await (await fetch(_links.deploymentBase.href, { headers })).json());
  const artifact = document.deployment.chunks[0]?.artifacts[0];
  assert.ok(artifact?._links['download-http']);
  return { document, artifact: new URL(artifact._links['download-http'].href), size: artifact.size };
}

const taskOf = async (id: number) => site.client.task(id);

describe('a poll', () => {
  it('says when to come again, in 8 characters, and has no links when there is nothing', async () => {
    await site.client.gateways.create({ id: 'idle', token: 'token-of-idle' });
    const asked = await poll('idle');
    assert.match(asked.config.polling.sleep, /^\d\d:\d\d:\d\d$/);
    assert.deepEqual(Object.keys(asked._links ?? {}), ['configData']);
    assert.equal(
      (
        await ddi(
          'idle/configData',
          json('PUT', { mode: 'merge', data: { VIN: 'JH4', hwRevision: '2' }, id: '', status: {} }),
        )
      ).status,
      200,
    );
    assert.equal((await poll('idle'))._links, undefined);
    const { profile } = await site.client.gateways.get('idle');
    assert.deepEqual(profile.attributes, { VIN: 'JH4', hwRevision: '2' });
    assert.equal((await site.client.gateways.list({ selector: 'hwRevision=2' })).items.length, 1);
  });
  it('carries Content-Length and an ETag; unchanged it is 304 without a body', async () => {
    const first = await ddi('idle', { headers: { accept: 'application/json;charset=UTF-8' } });
    assert.equal(first.headers.get('transfer-encoding'), null);
    assert.equal(Number(first.headers.get('content-length')), (await first.text()).length);
    assert.match(first.headers.get('content-type') ?? '', /^application\/json/);
    const etag = first.headers.get('etag') ?? '';
    const again = await ddi('idle', { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), '');
    assert.match((await ddi('idle')).headers.get('content-type') ?? '', /^application\/hal\+json/);
  });
  it('is answered to HEAD, and to the tenant in any case', async () => {
    assert.equal((await ddi('idle', { method: 'HEAD' })).status, 200);
    const upper = await fetch(`${site.node.httpUrl}/DEFAULT/controller/v1/idle`, {
      headers: { authorization: 'TargetToken token-of-idle' },
    });
    assert.equal(upper.status, 200);
    const nobody = await fetch(`${site.node.httpUrl}/other/controller/v1/idle`, {
      headers: { authorization: 'TargetToken token-of-idle' },
    });
    assert.equal(nobody.status, 401);
  });
  it('that waits is answered when there is work', async () => {
    await site.client.gateways.create({ id: 'waiting', token: 'token-of-waiting', profile: { os: 'linux' } });
    const waiting = poll('waiting', { headers: { prefer: 'wait=60' } });
    await waitFor('the poll to be seen', async () => (await site.client.gateways.get('waiting')).lastSeenAt);
    await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: 'id=waiting' });
    assert.ok((await waiting)._links?.deploymentBase);
  });
});

describe('CBOR', () => {
  /** As recorded: each letter before a text is its length. */
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const send = (method: string, path: string, body: Buffer) =>
    ddi(path, { method, headers: { 'content-type': 'application/cbor' }, body });

  it('is spoken both ways, and means the same as JSON', async () => {
    const { taskId } = await target('cbor');
    assert.equal((await send('PUT', 'cbor/configData', bytes('\xa1ddata\xa1cVINcJH4'))).status, 200);
    assert.equal((await site.client.gateways.get('cbor')).profile.attributes['VIN'], 'JH4');
    assert.equal((await send('PUT', 'cbor/configData', bytes('{"data":{"a":"b"}}'))).status, 400);
    assert.equal((await send('PUT', 'cbor/configData', bytes(''))).status, 400);
    await deployment('cbor');
    const failure = '\xa1fstatus\xa3iexecutionfclosedfresult\xa1hfinishedgfailuregdetails\x81b\xc3\xbc';
    assert.equal((await send('POST', `cbor/deploymentBase/${taskId}/feedback`, bytes(failure))).status, 200);
    assert.equal((await taskOf(taskId)).message, 'ü');
    const headers = { accept: 'application/cbor' };
    const poll = await ddi('cbor', { headers });
    assert.deepEqual(Buffer.from(await poll.arrayBuffer()), bytes('\xa1fconfig\xa1gpolling\xa1esleeph00:05:00'));
    const etag = poll.headers.get('etag') ?? '';
    assert.notEqual(etag, (await ddi('cbor')).headers.get('etag'));
    assert.equal((await ddi('cbor', { headers: { ...headers, 'if-none-match': etag } })).status, 304);
  });
});

describe('credentials', () => {
  it('are case-sensitive in their scheme, and nobody comes in without', async () => {
    assert.equal((await ddi('idle', { auth: 'targettoken token-of-idle' })).status, 401);
    assert.equal((await ddi('idle', { auth: 'TargetToken  token-of-idle' })).status, 401);
    assert.equal((await ddi('idle', { auth: '' })).status, 401);
    assert.equal((await ddi('nobody-knows-me')).status, 401);
  });
  it('with the gateway token an unknown gateway comes in by itself, whatever its id', async () => {
    const id = 'Zephyr device:01/02'.replace('/', '-');
    assert.equal((await ddi(encodeURIComponent(id), { auth: `GatewayToken ${GATEWAY_TOKEN}` })).status, 200);
    assert.equal((await ddi(encodeURIComponent(id), { auth: 'GatewayToken wrong' })).status, 401);
    assert.equal((await site.client.gateways.get(id)).id, id);
  });
});

describe('a deployment', () => {
  it('is one chunk with one artifact, whose digests and sizes are true', async () => {
    const { taskId } = await target('rauc');
    const { document, artifact, size } = await deployment('rauc');
    assert.equal(document.id, String(taskId));
    assert.equal(document.deployment.chunks.length, 1);
    assert.ok(artifact.pathname.startsWith('/DEFAULT/controller/v1/'), 'Zephyr looks for the tenant in upper case');
    assert.ok(artifact.pathname.length < 200);
    const headers = { authorization: 'TargetToken token-of-rauc' };
    const download = await fetch(artifact, { headers });
    const bytes = Buffer.from(await download.arrayBuffer());
    assert.equal(bytes.length, size);
    const { hashes } = document.deployment.chunks[0]!.artifacts[0]!;
    for (const name of ['sha1', 'md5', 'sha256'] as const)
      assert.equal(createHash(name).update(bytes).digest('hex'), hashes[name]);
    assert.equal(download.headers.get('content-type'), 'application/octet-stream');
    assert.equal(download.headers.get('etag'), `"${hashes.sha1}"`);
    assert.match(download.headers.get('content-disposition') ?? '', /^attachment;filename=/);
    const sums = await fetch(`${artifact.href}.MD5SUM`, { headers });
    assert.equal(await sums.text(), `${hashes.md5}  ${document.deployment.chunks[0]!.artifacts[0]!.filename}`);
  });

  it('is resumed by ranges, which add up to the same bytes', async () => {
    await target('ranges');
    const { document, artifact, size } = await deployment('ranges');
    const get = (headers: Record<string, string>, method = 'GET') =>
      fetch(artifact, { method, headers: { authorization: 'TargetToken token-of-ranges', ...headers } });
    const head = await get({}, 'HEAD');
    assert.deepEqual(
      [head.status, Number(head.headers.get('content-length')), head.headers.get('accept-ranges')],
      [200, size, 'bytes'],
    );
    const parts: Buffer[] = [];
    for (let at = 0; at < size; at += Math.ceil(size / 7)) {
      const end = Math.min(at + Math.ceil(size / 7), size) - 1;
      const part = await get({ range: `bytes=${at}-${end}` });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get('content-range'), `bytes ${at}-${end}/${size}`);
      parts.push(Buffer.from(await part.arrayBuffer()));
    }
    const { sha1, sha256 } = document.deployment.chunks[0]!.artifacts[0]!.hashes;
    assert.equal(createHash('sha256').update(Buffer.concat(parts)).digest('hex'), sha256);
    const past = await get({ range: `bytes=${size}-` });
    assert.deepEqual([past.status, past.headers.get('content-range')], [416, `bytes */${size}`]);
    assert.equal((await get({ range: 'bytes=5-', 'if-range': `"${sha1}"` })).status, 206);
    assert.equal((await get({ range: 'bytes=5-', 'if-range': '"another"' })).status, 200);
    assert.equal((await get({ 'if-match': sha1 })).status, 200);
    assert.equal((await get({ 'if-match': 'another' })).status, 412);
    assert.equal((await get({ 'if-none-match': `"${sha1}"` })).status, 304);
  });

  it('goes through its states, to an end that stands', async () => {
    const { taskId } = await target('swupdate');
    await deployment('swupdate');
    assert.equal((await taskOf(taskId)).state, 'offered');
    assert.equal(
      (
        await ddi(
          `swupdate/deploymentBase/${taskId}/feedback`,
          status('proceeding', 'none', ['Installing Update Chunk Artifacts.']),
        )
      ).status,
      200,
    );
    assert.equal((await taskOf(taskId)).state, 'installing');
    const withHistory = ddiDeploymentSchema.parse(
      await (await ddi(`swupdate/deploymentBase/${taskId}?actionHistory=1`)).json(),
    );
    assert.deepEqual(withHistory.actionHistory, {
      status: 'INSTALLING',
      messages: ['Installing Update Chunk Artifacts.'],
    });
    assert.equal((await ddi(`swupdate/deploymentBase/${taskId}/feedback`, status('closed', 'success'))).status, 200);
    const done = await taskOf(taskId);
    assert.equal(done.state, 'succeeded');
    assert.equal((await ddi(`swupdate/deploymentBase/${taskId}/feedback`, status('closed', 'failure'))).status, 410);
    assert.equal((await taskOf(taskId)).state, 'succeeded');
    const { profile, desired } = await site.client.gateways.get('swupdate');
    assert.deepEqual(
      profile.installed?.map(({ name, version }) => `${name} ${version}`),
      ['tool 1.0.0'],
    );
    assert.deepEqual(desired, [{ name: 'tool', range: '*' }]);
    const { _links } = await poll('swupdate');
    assert.ok(_links?.installedBase?.href.endsWith(`/installedBase/${taskId}`));
    assert.equal((await ddi(`swupdate/installedBase/${taskId}`)).status, 200);
  });

  it('that fails says why, and is offered again on retry', async () => {
    const { taskId, rollout } = await target('failing');
    await deployment('failing');
    await ddi(`failing/deploymentBase/${taskId}/feedback`, status('closed', 'failure', ['no space left on /data']));
    await waitFor('the rollout to end', async () => (await site.client.rollouts.get(rollout)).state === 'failed');
    assert.equal((await taskOf(taskId)).message, 'no space left on /data');
    await site.client.rollouts.retry(rollout);
    const next = await waitFor('another task', async () => (await site.client.gateways.get('failing')).task);
    assert.notEqual(next.id, taskId);
  });
});

describe('a cancelation', () => {
  it('ends at once what the gateway has not seen', async () => {
    const { taskId, rollout } = await target('unseen');
    await site.client.rollouts.abort(rollout);
    assert.equal((await taskOf(taskId)).state, 'canceled');
    assert.equal((await poll('unseen'))._links?.deploymentBase, undefined);
  });
  it('asks a gateway at work, which may confirm', async () => {
    const { taskId, rollout } = await target('working');
    await deployment('working');
    await site.client.rollouts.abort(rollout);
    const { _links } = await poll('working');
    assert.ok(_links?.cancelAction?.href.endsWith(`/cancelAction/${taskId}`));
    assert.equal(_links?.deploymentBase, undefined);
    assert.equal((await ddi(`working/deploymentBase/${taskId}`)).status, 404);
    assert.deepEqual(await (await ddi(`working/cancelAction/${taskId}`)).json(), {
      id: String(taskId),
      cancelAction: { stopId: String(taskId) },
    });
    assert.equal((await ddi(`working/cancelAction/${taskId}/feedback`, status('closed', 'success'))).status, 200);
    assert.equal((await taskOf(taskId)).state, 'canceled');
  });
  it('that the gateway refuses lets the deployment go on', async () => {
    const { taskId, rollout } = await target('stubborn');
    await deployment('stubborn');
    assert.equal((await ddi(`stubborn/cancelAction/${taskId}`)).status, 404);
    assert.equal((await ddi(`stubborn/cancelAction/${taskId}/feedback`, status('closed', 'success'))).status, 405);
    await site.client.rollouts.abort(rollout);
    assert.equal(
      (await ddi(`stubborn/cancelAction/${taskId}/feedback`, status('rejected', 'none', ['too late']))).status,
      200,
    );
    assert.ok((await poll('stubborn'))._links?.deploymentBase);
    assert.equal((await ddi(`stubborn/deploymentBase/${taskId}/feedback`, status('closed', 'success'))).status, 200);
    assert.equal((await taskOf(taskId)).state, 'succeeded');
  });
});

describe('two rollouts to one gateway', () => {
  it('wait for each other; one that covers the older makes it pointless', async () => {
    await site.publish(library('other', '1.0.0'));
    const { taskId } = await target('busy');
    await deployment('busy');
    await site.client.rollouts.create({ applications: [{ name: 'other' }], selector: 'id=busy' });
    const second = await waitFor('the second task', async () =>
      (await site.client.gateways.tasks('busy').list()).items.find(({ id }) => id !== taskId),
    );
    assert.ok((await poll('busy'))._links?.deploymentBase?.href.includes(`/deploymentBase/${taskId}?`));
    await ddi(`busy/deploymentBase/${taskId}/feedback`, status('closed', 'success'));
    assert.ok((await poll('busy'))._links?.deploymentBase?.href.includes(`/deploymentBase/${second.id}?`));
    // Planned again, since by now the first is installed: only the other comes.
    const { document } = await deployment('busy');
    assert.equal(document.deployment.chunks[0]?.name, 'other 1.0.0');
    await site.publish(library('other', '1.1.0'));
    await site.client.rollouts.create({ applications: [{ name: 'other', range: '1.1.0' }], selector: 'id=busy' });
    await waitFor('the older to be canceled', async () => (await poll('busy'))._links?.cancelAction);
  });
  it('a paused one holds its tasks back until it goes on', async () => {
    const { taskId, rollout } = await target('paused');
    await site.client.rollouts.pause(rollout);
    assert.equal((await poll('paused'))._links?.deploymentBase, undefined);
    assert.equal((await ddi(`paused/deploymentBase/${taskId}`)).status, 404);
    await site.client.rollouts.resume(rollout);
    assert.ok((await poll('paused'))._links?.deploymentBase);
  });
});
