/** Wrong input from publishers, operators, gateways and the network: a clear error each, and no trace left. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { artifactManifestSchema, sha256Schema } from '@leonore/protocol';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { library } from './applications.ts';

let site: Site;
before(async () => {
  site = await startSite();
  await site.publish(library('tool', '1.0.0'));
  await site.publish(library('tool', '1.1.0'));
  await site.publish(library('winonly', '1.0.0', { platform: { os: 'win32' } }));
  await site.publish(library('loop-a', '1.0.0', { requires: { artifacts: { 'loop-b': '*' } } }));
  await site.publish(library('loop-b', '1.0.0', { requires: { artifacts: { 'loop-a': '*' } } }));
  await site.client.gateways.create({
    id: 'gw-1',
    token: 'secret-of-gw-1',
    labels: { site: 'vienna' },
    profile: {
      os: 'linux',
      arch: 'x64',
      libc: 'glibc',
      capabilities: {},
      encodings: ['gzip'],
      strategies: ['pull'],
      labels: {},
      attributes: {},
    },
  });
});
after(() => site[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly code: string | undefined;
  readonly headers: Headers;
}

async function call(path: string, init: RequestInit & { token?: string | null } = {}): Promise<Answer> {
  const headers = new Headers(init.headers);
  if (init.token !== null && !headers.has('authorization'))
    headers.set('authorization', `Bearer ${init.token ?? site.node.adminToken}`);
  const response = await fetch(`${site.node.httpUrl}${path}`, { ...init, headers });
  const text = await response.text();
  let code: string | undefined;
  try {
    code = (JSON.parse(text) as { code?: string }).code;
  } catch {
    // Not JSON: some answers have no body.
  }
  return { status: response.status, text, code, headers: response.headers };
}

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

async function blobs(): Promise<readonly string[]> {
  const files = await readdir(join(site.dir, 'node', 'blobs'), { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile()).map((file) => file.name);
}

/** Uploads bytes as a segment and publishes them under a manifest. */
async function publishBytes(bytes: Buffer, name: string, size = bytes.length): Promise<Answer> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const octets = { 'content-type': 'application/octet-stream', 'upload-offset': '0' };
  await call(`/api/v1/uploads/${sha256}`, { ...json({ size }), method: 'PUT' });
  await call(`/api/v1/uploads/${sha256}`, { method: 'PATCH', headers: octets, body: new Uint8Array(bytes) });
  const manifest = artifactManifestSchema.parse({ name, version: '1.0.0' });
  return call('/api/v1/artifacts', json({ manifest, segments: [{ encoding: 'gzip', sha256, size }] }));
}

/** One ustar entry as LEONORE writes it, but for its path, type and link, with its padded content. */
function tarEntry(path: string, content: string, type = '0', link = ''): Buffer {
  const header = Buffer.alloc(512);
  const put = (offset: number, text: string) => header.write(text, offset, 'latin1');
  put(0, path);
  put(100, '0000755\0');
  put(108, '0000000\0');
  put(116, '0000000\0');
  put(124, `${content.length.toString(8).padStart(11, '0')}\0`);
  put(136, '00000000000\0');
  put(148, ' '.repeat(8));
  put(156, type);
  put(157, link);
  put(257, 'ustar\u000000');
  put(329, '0000000\0');
  put(337, '0000000\0');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body]);
}

describe('a publisher', () => {
  it('with a broken manifest is told the line and the key', async () => {
    const manifest = 'name: tool\nversion: 1.2\nrequires:\n  artifacts:\n    lib: "not a range"\n';
    await assert.rejects(site.publish({ manifest }), (error: Error) => {
      assert.match(error.message, /leonore\.yaml:2/);
      assert.match(error.message, /version/);
      assert.match(error.message, /leonore\.yaml:5/);
      assert.match(error.message, /requires\.artifacts\.lib/);
      return true;
    });
  });

  it('who publishes a version again with other bytes gets a conflict, the same bytes are fine', async () => {
    const before = await blobs();
    const again = await site.publish(library('tool', '1.0.0'));
    assert.equal(again.manifest.version, '1.0.0');
    await assert.rejects(
      site.publish({ ...library('tool', '1.0.0'), binary: { other: 'bytes' } }),
      /already published with other content.*raise the version/s,
    );
    assert.deepEqual((await blobs()).toSorted(), before.toSorted());
  });

  it('whose upload was cut is told what is missing, and can go on', async () => {
    const bytes = randomBytes(2000);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const octets = (offset: number) => ({
      'content-type': 'application/octet-stream',
      'upload-offset': String(offset),
    });
    await call(`/api/v1/uploads/${sha256}`, { ...json({ size: 2000 }), method: 'PUT' });
    const half = await call(`/api/v1/uploads/${sha256}`, {
      method: 'PATCH',
      headers: octets(0),
      body: new Uint8Array(bytes.subarray(0, 1000)),
    });
    assert.equal(half.status, 200);
    const manifest = artifactManifestSchema.parse({ name: 'cut', version: '1.0.0' });
    const early = await call(
      '/api/v1/artifacts',
      json({ manifest, segments: [{ encoding: 'gzip', sha256, size: 2000 }] }),
    );
    assert.deepEqual([early.status, early.code], [409, 'artifact.segment-missing']);
    const wrong = await call(`/api/v1/uploads/${sha256}`, {
      method: 'PATCH',
      headers: octets(500),
      body: new Uint8Array(10),
    });
    assert.deepEqual([wrong.status, wrong.code], [409, 'upload.offset']);
    assert.match(wrong.text, /"offset":1000/);
    const rest = await call(`/api/v1/uploads/${sha256}`, {
      method: 'PATCH',
      headers: octets(1000),
      body: new Uint8Array(bytes.subarray(1000)),
    });
    assert.equal((JSON.parse(rest.text) as { complete: boolean }).complete, true);
  });

  it('whose bytes have another digest, or are too many, is refused without a trace', async () => {
    const before = await blobs();
    const sha256 = sha256Schema.parse(createHash('sha256').update('promised').digest('hex'));
    const octets = { 'content-type': 'application/octet-stream', 'upload-offset': '0' };
    await call(`/api/v1/uploads/${sha256}`, { ...json({ size: 5 }), method: 'PUT' });
    const wrong = await call(`/api/v1/uploads/${sha256}`, { method: 'PATCH', headers: octets, body: 'other' });
    assert.deepEqual([wrong.status, wrong.code], [422, 'upload.digest']);
    await call(`/api/v1/uploads/${sha256}`, { ...json({ size: 5 }), method: 'PUT' });
    const many = await call(`/api/v1/uploads/${sha256}`, {
      method: 'PATCH',
      headers: octets,
      body: 'far too many bytes',
    });
    assert.deepEqual([many.status, many.code], [413, 'upload.too-large']);
    const huge = await call(`/api/v1/uploads/${sha256}`, { ...json({ size: 2 ** 45 }), method: 'PUT' });
    assert.deepEqual([huge.status, huge.code], [413, 'upload.too-large']);
    assert.deepEqual(
      (await blobs()).filter((name) => name.startsWith(sha256) && !name.includes('.')),
      [],
    );
    assert.deepEqual((await blobs()).filter((name) => !name.startsWith(sha256)).toSorted(), before.toSorted());
  });

  const folders = (name: string) => tarEntry(`binary/${name}/`, '', '5');
  const hostile: [string, Buffer, string][] = [
    ['a path out of its folder', tarEntry('binary/evil/../../../etc/passwd', 'x'), 'archive.hostile'],
    ['an absolute path', tarEntry('/etc/passwd', 'x'), 'archive.hostile'],
    ['a symbolic link', tarEntry('binary/evil/link', '', '2', '/etc/passwd'), 'archive.hostile'],
    ['a hard link', tarEntry('binary/evil/link', '', '1', '/etc/passwd'), 'archive.hostile'],
    ['a device', tarEntry('binary/evil/dev', '', '3'), 'archive.hostile'],
    ["another component's files", tarEntry('binary/tool/version.txt', 'x'), 'archive.'],
    ['a control script nobody knows', tarEntry('control/evil/postinst', 'x'), 'archive.'],
    ['an entry that is cut off', tarEntry('binary/evil/file', 'x'.repeat(2000)).subarray(0, 900), 'archive.corrupt'],
  ];
  for (const [what, tar, code] of hostile) {
    it(`with an archive that holds ${what} is refused, and nothing is kept`, async () => {
      const before = await blobs();
      const answer = await publishBytes(gzipSync(Buffer.concat([folders('evil'), tar])), 'evil');
      assert.equal(answer.status, 422, answer.text);
      assert.ok(answer.code?.startsWith(code), answer.text);
      assert.deepEqual((await blobs()).toSorted(), before.toSorted());
      assert.equal((await call('/api/v1/artifacts/evil')).status, 404);
    });
  }
  it('with an archive that is as it should be is taken: the others are refused for what they hold', async () => {
    const answer = await publishBytes(
      gzipSync(Buffer.concat([folders('fine'), tarEntry('binary/fine/file', 'x')])),
      'fine',
    );
    assert.equal(answer.status, 201, answer.text);
  });
  it('with bytes that are no archive is refused', async () => {
    const answer = await publishBytes(randomBytes(500), 'evil');
    assert.deepEqual([answer.status, answer.code], [422, 'archive.corrupt'], answer.text);
  });

  it('who publishes a build for a platform that is already there, with another content, gets a conflict that names it', async () => {
    const before = await blobs();
    const platform = { os: 'linux', arch: 'arm64' };
    await site.publish(library('port', '1.0.0', { platform }));
    await site.publish(library('port', '1.0.0', { platform: { ...platform, arch: 'x64' } }));
    const taken = await blobs();
    assert.ok(taken.length > before.length);
    await assert.rejects(
      site.publish({ ...library('port', '1.0.0', { platform }), binary: { other: 'bytes' } }),
      /port 1\.0\.0 \(linux-arm64-any\) is already published with other content/,
    );
    assert.deepEqual((await blobs()).toSorted(), taken.toSorted());
  });

  it('whose segment is not what its manifest promises is told what is missing, and nothing is kept', async () => {
    const before = await blobs();
    const tar = gzipSync(Buffer.concat([folders('service'), tarEntry('binary/service/file', 'x')]));
    const sha256 = createHash('sha256').update(tar).digest('hex');
    const octets = { 'content-type': 'application/octet-stream', 'upload-offset': '0' };
    await call(`/api/v1/uploads/${sha256}`, { ...json({ size: tar.length }), method: 'PUT' });
    await call(`/api/v1/uploads/${sha256}`, { method: 'PATCH', headers: octets, body: new Uint8Array(tar) });
    const manifest = artifactManifestSchema.parse({ name: 'service', version: '1.0.0', run: {} });
    const segments = [{ encoding: 'gzip', sha256, size: tar.length }];
    const answer = await call('/api/v1/artifacts', json({ manifest, segments }));
    assert.deepEqual([answer.status, answer.code], [422, 'archive.mismatch'], answer.text);
    assert.match(answer.text, /service 1\.0\.0 has .*run.* but no control\/start/);
    assert.deepEqual((await blobs()).toSorted(), before.toSorted());
    const wrongName = await publishBytes(tar, 'other');
    assert.ok(wrongName.code?.startsWith('archive.'), wrongName.text);
    assert.deepEqual((await blobs()).toSorted(), before.toSorted());
  });

  it('whose segment is broken inside is refused, whichever byte it is', async () => {
    const before = await blobs();
    const tar = gzipSync(Buffer.concat([folders('broken'), tarEntry('binary/broken/file', 'x'.repeat(3000))]));
    for (const at of [0, 12, Math.floor(tar.length / 2), tar.length - 6]) {
      const broken = Buffer.from(tar);
      broken[at]! ^= 0x11;
      const answer = await publishBytes(broken, 'broken');
      assert.equal(answer.status, 422, `byte ${at}: ${answer.text}`);
      assert.ok(answer.code?.startsWith('archive.'), answer.text);
    }
    const short = await publishBytes(tar.subarray(0, tar.length - 20), 'broken');
    assert.deepEqual([short.status, short.code], [422, 'archive.corrupt'], short.text);
    assert.deepEqual((await blobs()).toSorted(), before.toSorted());
  });
});

describe('an operator', () => {
  const rollout = (body: object) => call('/api/v1/rollouts', json({ selector: '*', ...body }));
  it('with a selector key that no gateway has is told which there are', async () => {
    const answer = await rollout({ applications: [{ name: 'tool' }], selector: 'sight=vienna' });
    assert.deepEqual([answer.status, answer.code], [400, 'selector.unknown-key']);
    assert.match(answer.text, /\\"sight\\".*site/);
  });
  it('with a selector that cannot be read, or that selects nobody, is told so', async () => {
    assert.equal((await rollout({ applications: [{ name: 'tool' }], selector: 'a in (b' })).code, 'selector.syntax');
    assert.equal(
      (await rollout({ applications: [{ name: 'tool' }], selector: 'site=graz' })).code,
      'selector.no-match',
    );
  });
  it('with a range that nobody satisfies is told what exists', async () => {
    const answer = await rollout({ applications: [{ name: 'tool', range: '^9' }] });
    assert.deepEqual([answer.status, answer.code], [409, 'plan.unsatisfiable']);
    assert.match(answer.text, /1\.1\.0/);
  });
  it('with a cycle is told its members', async () => {
    const answer = await rollout({ applications: [{ name: 'loop-a' }] });
    assert.deepEqual([answer.status, answer.code], [409, 'plan.unsatisfiable']);
    assert.match(answer.text, /loop-a/);
    assert.match(answer.text, /loop-b/);
    assert.match(answer.text, /cycle/i);
  });
  it('with the wrong platform is told which builds exist', async () => {
    const answer = await rollout({ applications: [{ name: 'winonly' }] });
    assert.deepEqual([answer.status, answer.code], [409, 'plan.unsatisfiable']);
    assert.match(answer.text, /win32/);
  });
  it('with an unknown artifact, gateway, rollout, task, package or address gets 404 and words', async () => {
    assert.equal((await rollout({ applications: [{ name: 'nosuch' }] })).code, 'artifact.unknown');
    for (const [path, code] of [
      ['/api/v1/gateways/nosuch', 'gateway.unknown'],
      ['/api/v1/rollouts/999', 'rollout.unknown'],
      ['/api/v1/tasks/999', 'task.unknown'],
      [`/api/v1/packages/p-${'0'.repeat(32)}`, 'package.unknown'],
      [`/packages/${'0'.repeat(64)}`, 'package.unknown'],
      ['/api/v1/nosuch', 'route.unknown'],
      ['/nosuch', 'route.unknown'],
    ] as const) {
      const answer = await call(path);
      assert.deepEqual([path, answer.status, answer.code], [path, 404, code]);
      assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
    }
  });
  it('without a token, or with a wrong one, gets 401', async () => {
    assert.deepEqual(
      [(await call('/api/v1/gateways', { token: null })).code, (await call('/api/v1/gateways', { token: 'x' })).code],
      ['auth.missing', 'auth.wrong'],
    );
    assert.equal((await call('/packages/' + '0'.repeat(64), { token: null })).status, 401);
  });
  it('with JSON that is none, a body too large, another media type or method gets words', async () => {
    const headers = { 'content-type': 'application/json' };
    assert.equal(
      (await call('/api/v1/rollouts', { method: 'POST', headers, body: '{"selector": ' })).code,
      'request.json',
    );
    assert.equal((await call('/api/v1/rollouts', { method: 'POST', headers, body: '' })).code, 'request.json');
    const large = await call('/api/v1/rollouts', {
      method: 'POST',
      headers,
      body: JSON.stringify({ selector: 'x'.repeat(5_000_000) }),
    });
    assert.deepEqual([large.status, large.code], [413, 'request.too-large']);
    assert.equal(
      (await call('/api/v1/rollouts', { method: 'POST', headers: { 'content-type': 'text/csv' }, body: 'a' })).code,
      'request.media-type',
    );
    assert.deepEqual((await call('/api/v1/rollouts', { method: 'DELETE' })).code, 'request.method');
    const fields = await rollout({ applications: [{ name: 'Tool' }], strategy: 'carrier-pigeon' });
    assert.equal(fields.code, 'request.invalid');
    assert.match(fields.text, /applications/);
    assert.match(fields.text, /strategy/);
    assert.equal((await call('/api/v1/gateways?cursor=%00broken')).code, 'request.invalid');
  });
});

describe('a gateway', () => {
  const ddi = (path: string, init: RequestInit = {}, token = 'secret-of-gw-1') =>
    call(`/default/controller/v1/${path}`, {
      ...init,
      headers: { authorization: `TargetToken ${token}`, ...(init.headers as object) },
    });
  const feedback = (body: unknown): RequestInit => json(body);

  it('that is unknown, or has a wrong token, gets 401', async () => {
    assert.equal((await ddi('gw-1', {}, 'wrong')).status, 401);
    assert.equal((await ddi('nosuch')).status, 401);
    assert.equal((await call('/default/controller/v1/gw-1', { token: null })).status, 401);
    assert.equal((await ddi('x'.repeat(300))).status, 400);
  });
  it('that enrols with a wrong, used or malformed token is refused; of 50 that race for one, one wins', async () => {
    const enrol = (body: object) => call('/gateway/v1/enrol', { ...json(body), token: null });
    const secret = 'ab'.repeat(32);
    assert.equal((await enrol({ token: 'wrong', id: 'gw-2', secret })).code, 'token.invalid');
    assert.equal((await enrol({ token: 'wrong', id: 'GW 2', secret })).code, 'request.invalid');
    assert.equal((await enrol({ token: 'wrong', id: 'gw-2', secret: 'short' })).code, 'request.invalid');
    const { token } = await site.client.tokens.create();
    const race = await Promise.all(
      Array.from({ length: 50 }, (_, i) => enrol({ token, id: `racer-${i}`, secret: randomBytes(32).toString('hex') })),
    );
    assert.equal(race.filter(({ status }) => status === 200).length, 1);
    assert.equal(race.filter(({ code }) => code === 'token.invalid').length, 49);
    const other = await site.client.tokens.create();
    assert.equal((await enrol({ token: other.token, id: 'gw-1', secret })).code, 'gateway.taken');
    // The use was given back: the token still works.
    assert.equal((await enrol({ token: other.token, id: 'gw-3', secret })).status, 200);
    // A lost answer can be asked for again, with a token that is used up by now.
    assert.equal((await enrol({ token: other.token, id: 'gw-3', secret })).status, 200);
  });
  it('cannot touch the task of another, nor one that does not exist', async () => {
    await site.client.gateways.create({ id: 'gw-9', token: 'secret-of-gw-9' });
    const created = await site.client.rollouts.create({ applications: [{ name: 'tool' }], selector: 'id=gw-1' });
    const task = await waitFor('the task', async () => (await site.client.gateways.get('gw-1')).task);
    const stolen = feedback({ status: { execution: 'closed', result: { finished: 'success' } } });
    assert.equal((await ddi(`gw-9/deploymentBase/${task.id}/feedback`, stolen, 'secret-of-gw-9')).status, 404);
    assert.equal((await ddi(`gw-9/deploymentBase/${task.id}`, {}, 'secret-of-gw-9')).status, 404);
    assert.equal((await ddi(`gw-9/softwaremodules/${task.id}/artifacts`, {}, 'secret-of-gw-9')).status, 404);
    assert.equal((await ddi(`gw-1/deploymentBase/${task.id}/feedback`, stolen)).status, 404, 'it was not offered yet');
    assert.equal((await ddi('gw-1/deploymentBase/99999999999999999999')).status, 404);
    assert.equal((await ddi('gw-1/deploymentBase/-1')).status, 404);
    assert.equal((await site.client.task(task.id)).state, 'pending');
    await site.client.rollouts.abort(created.id);
    assert.equal((await site.client.task(task.id)).state, 'canceled');
    assert.equal((await ddi(`gw-1/deploymentBase/${task.id}/feedback`, stolen)).status, 410);
  });
  it('with a feedback that says nothing is told so', async () => {
    for (const body of [
      {},
      { status: {} },
      { status: { execution: 'dancing', result: { finished: 'none' } } },
      { status: { execution: 'closed', result: {}, details: 'no array' } },
    ]) {
      assert.equal((await ddi('gw-1/deploymentBase/1/feedback', feedback(body))).status, 400, JSON.stringify(body));
    }
    assert.equal(
      (
        await ddi('gw-1/deploymentBase/1/feedback', {
          method: 'POST',
          headers: { 'content-type': 'text/plain' },
          body: '{}',
        })
      ).status,
      415,
    );
    assert.equal((await ddi('gw-1', { headers: { accept: 'text/html' } })).status, 406);
    assert.equal(
      (await ddi('gw-1', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status,
      405,
    );
  });
});

describe('anybody', () => {
  it('who announces a CONNECT of 268 MB to the broker is cut off at once', async () => {
    const { hostname, port } = new URL(site.node.mqttUrl);
    const socket = connect(Number(port), hostname);
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.once('error', () => resolve());
    });
    socket.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]));
    await closed;
  });
});
