/** DDI clients that keep to no rule: a clear answer to each, nothing lost, nothing let in, and the node keeps its memory. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { collect } from '@leonore/client';
import { ddiDeploymentSchema, ddiPollSchema, isTerminal, type Task } from '@leonore/protocol';
import { startSite, waitFor, type Site } from '@leonore/testkit';

const GATEWAY_TOKEN = 'any-gateway-of-this-maker';
const CONTENT = Buffer.from('firmware '.repeat(1000));

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}
interface Init {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** Sent piece by piece, without a Content-Length unless the headers have one. */
  readonly pieces?: readonly Buffer[];
}

/** Not fetch: it would tidy the address up. */
function send(site: Site, path: string, { method, headers = {}, json, pieces }: Init = {}): Promise<Answer> {
  const { hostname, port } = new URL(site.node.httpUrl);
  const body = json === undefined ? undefined : JSON.stringify(json);
  const all = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers };
  return new Promise((resolve, reject) => {
    const asked = httpRequest({ hostname, port, path, method: method ?? 'GET', headers: all }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (more: string) => void (text += more));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    asked.on('error', reject);
    for (const piece of pieces ?? []) asked.write(piece);
    asked.end(body);
  });
}

const base = '/default/controller/v1';
const as = (id: string) => ({ authorization: `TargetToken token-of-${id}` });
const known = (site: Site, id: string) =>
  site.client.gateways.create({ id, token: `token-of-${id}`, profile: { formats: ['image'] } });
const publish = (site: Site) =>
  site.publish({
    manifest: { name: 'firmware', version: '1.0.0', kind: 'image', image: { part: 'os' } },
    image: { 'firmware.bin': CONTENT },
  });
const say = (execution: string, finished: string, details?: readonly string[]) => ({
  method: 'POST',
  json: { status: { execution, result: { finished }, ...(details ? { details } : {}) } },
});

/** A gateway that has fetched its task. */
async function atWork(site: Site, id: string): Promise<Task> {
  await known(site, id);
  const rollout = await site.client.rollouts.create({ applications: [{ name: 'firmware' }], selector: `id=${id}` });
  const task = await waitFor('the task', async () => (await collect(site.client.rollouts.tasks(rollout.id).all()))[0]);
  const fetched = await send(site, `${base}/${id}/deploymentBase/${task.id}`, { headers: as(id) });
  assert.equal(fetched.status, 200, fetched.text);
  return site.client.task(task.id);
}

async function metric(site: Site, name: string): Promise<number> {
  const { text } = await send(site, '/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

/** The most memory that the node has had so far, bytes. */
async function peakMemory(site: Site): Promise<number> {
  const status = await readFile(`/proc/${site.node.child.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

describe('a client that', () => {
  let site: Site;
  before(async () => {
    site = await startSite({ nodeArgs: ['--gateway-token', GATEWAY_TOKEN] });
    await publish(site);
  });
  after(() => site[Symbol.asyncDispose]());

  it('ignores the poll interval is answered with 304, and seen', async () => {
    for (const id of ['hasty', 'calm']) {
      await known(site, id);
      const put = { method: 'PUT', json: { data: { a: '1' } }, headers: as(id) };
      assert.equal((await send(site, `${base}/${id}/configData`, put)).status, 200);
    }
    const first = await send(site, `${base}/hasty`, { headers: as('hasty') });
    const again = { ...as('hasty'), 'if-none-match': String(first.headers.etag) };
    for (let i = 0; i < 50; i++) {
      const answer = await send(site, `${base}/hasty`, { headers: again });
      assert.deepEqual([answer.status, answer.text], [304, '']);
    }
    for (let i = 0; i < 3; i++) assert.equal((await send(site, `${base}/calm`, { headers: as('calm') })).status, 200);
    assert.equal((await site.client.gateways.get('hasty')).hastyPolls, 51);
    assert.equal((await site.client.gateways.get('calm')).hastyPolls, undefined);
    assert.equal(await metric(site, 'leonore_early_polls_total'), 46);
    const lines = await waitFor('the log to tell of it', () => {
      const found = site.node.output().match(/.*polls far more often.*/g) ?? [];
      return found.length > 0 && found;
    });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /"gateway":"hasty"/);
  });

  it("reports for another's task changes nothing, by whatever address", async () => {
    const task = await atWork(site, 'victim');
    await known(site, 'forger');
    const feedback = say('closed', 'success');
    const own: [path: string, status: number, init: Init][] = [
      [`deploymentBase/${task.id}`, 404, {}],
      [`deploymentBase/${task.id}/feedback`, 404, feedback],
      [`cancelAction/${task.id}`, 404, {}],
      [`cancelAction/${task.id}/feedback`, 404, feedback],
      [`confirmationBase/${task.id}`, 404, {}],
      [`confirmationBase/${task.id}/feedback`, 404, { method: 'POST', json: { confirmation: 'denied' } }],
      [`installedBase/${task.id}`, 404, {}],
      [`softwaremodules/${task.id}/artifacts`, 404, {}],
      [`softwaremodules/${task.id}/artifacts/firmware.bin`, 404, {}],
      [`softwaremodules/${task.id}/artifacts/firmware.bin.MD5SUM`, 404, {}],
    ];
    for (const [path, status, init] of own) {
      const below = await send(site, `${base}/forger/${path}`, { ...init, headers: as('forger') });
      assert.equal(below.status, status, `${path} below its own id: ${below.text}`);
      const other = await send(site, `${base}/victim/${path}`, { ...init, headers: as('forger') });
      assert.equal(other.status, 401, `${path} below the other's id: ${other.text}`);
    }
    for (const init of [{ method: 'PUT', json: { data: { a: '1' } } }, {}]) {
      const path = `${base}/victim${'json' in init ? '/configData' : ''}`;
      assert.equal((await send(site, path, { ...init, headers: as('forger') })).status, 401);
    }
    const after = await site.client.task(task.id);
    assert.deepEqual([after.state, after.transitions?.length], ['offered', task.transitions?.length]);
    assert.deepEqual((await site.client.gateways.get('victim')).profile.attributes, {});
  });

  it('reports in a state that nobody knows is told so, and its task stays', async () => {
    const task = await atWork(site, 'inventive');
    for (const feedback of [say('dancing', 'none'), say('closed', 'perhaps'), say('CLOSED', 'success')]) {
      const path = `${base}/inventive/deploymentBase/${task.id}/feedback`;
      const answer = await send(site, path, { ...feedback, headers: as('inventive') });
      assert.equal(answer.status, 400);
      assert.match(answer.text, /feedback\.status\.(execution|result\.finished)/);
    }
    assert.equal((await site.client.task(task.id)).state, 'offered');
  });

  it('reports more than 1,000 times is told 429 with what is kept, and its end counts', async () => {
    const task = await atWork(site, 'chatty');
    const path = `${base}/chatty/deploymentBase/${task.id}/feedback`;
    const report = (i: number) =>
      send(site, path, { ...say('proceeding', 'none', [`step ${i}`]), headers: as('chatty') });
    const statuses: number[] = [];
    for (let i = 0; i < 1100; i += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, (_, k) => report(i + k)));
      statuses.push(...some.map(({ status }) => status));
    }
    assert.deepEqual(new Set(statuses), new Set([200, 429]));
    const taken = statuses.filter((status) => status === 200).length;
    const refused = await report(0);
    assert.equal(refused.status, 429);
    assert.match(refused.text, /1000 reports/);
    const { transitions = [] } = await site.client.task(task.id);
    assert.equal(
      transitions.flatMap(({ messages }) => messages).filter((text) => text.startsWith('step')).length,
      taken,
    );
    assert.ok(transitions.length <= 1010, `${transitions.length} are kept`);
    const end = await send(site, path, { ...say('closed', 'success', ['done']), headers: as('chatty') });
    assert.equal(end.status, 200);
    assert.equal((await site.client.task(task.id)).state, 'succeeded');
  });

  it('sends bodies of 10 MB is told 413, and the node does not keep them', async (test) => {
    const task = await atWork(site, 'fat');
    const piece = Buffer.alloc(1_000_000, ' ');
    const pieces = Array.from({ length: 10 }, () => piece);
    const headers = { ...as('fat'), 'content-type': 'application/json' };
    const announced = { ...headers, 'content-length': '10000000' };
    const paths = [`deploymentBase/${task.id}/feedback`, 'configData'];
    const isLinux = process.platform === 'linux';
    const before = isLinux ? await peakMemory(site) : 0;
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        send(site, `${base}/fat/${paths[i % 2]}`, {
          method: i % 2 === 0 ? 'POST' : 'PUT',
          headers: i % 4 < 2 ? headers : announced,
          pieces,
        }),
      ),
    );
    for (const { status, text } of answers) assert.deepEqual([status, /larger than/.test(text)], [413, true], text);
    if (isLinux) {
      const grown = (await peakMemory(site)) - before;
      assert.ok(grown < 200e6, `400 MB of bodies made the node grow by ${Math.round(grown / 1e6)} MB`);
    } else test.diagnostic('memory is not looked at: there is no /proc');
    assert.equal((await site.client.task(task.id)).state, 'offered');
    const end = await send(site, `${base}/fat/${paths[0]}`, { ...say('closed', 'success'), headers: as('fat') });
    assert.equal(end.status, 200);
  });
});

describe('an id', () => {
  let site: Site;
  before(async () => {
    site = await startSite({ nodeArgs: ['--gateway-token', GATEWAY_TOKEN] });
    await publish(site);
  });
  after(() => site[Symbol.asyncDispose]());

  const headers = { authorization: `GatewayToken ${GATEWAY_TOKEN}` };
  const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter((one) => one !== '/');
  const ids = [
    ...printable.map((one) => `gw${one}1`),
    "' or 1=1 --",
    '<script>',
    '%2e%2e',
    '...',
    ' ',
    '*',
    'id=a,b',
    '__proto__',
    'gw-\u00fc',
    '\u65e5\u672c',
    '\u{1f980}',
    '\u00fc'.repeat(256),
    `gw${'%'.repeat(254)}`,
  ];

  it('may have each character that DDI allows, from the poll to the end of its task', {
    timeout: 120_000,
  }, async () => {
    for (const id of ids) {
      const answer = await send(site, `${base}/${encodeURIComponent(id)}`, { headers });
      assert.equal(answer.status, 200, `${id}: ${answer.text}`);
      const href = ddiPollSchema.parse(JSON.parse(answer.text))._links?.configData?.href ?? '';
      const put = { method: 'PUT', headers, json: { data: { me: 'here' } } };
      assert.equal((await send(site, new URL(href).pathname, put)).status, 200, `${id}: ${href}`);
      assert.deepEqual((await site.client.gateways.get(id)).profile.attributes, { me: 'here' }, id);
    }
    const there = await collect(site.client.gateways.all());
    assert.deepEqual(there.map(({ id }) => id).toSorted(), ids.toSorted());

    const rollout = await site.client.rollouts.create({ applications: [{ name: 'firmware' }], selector: '*' });
    await waitFor('the plan', async () => (await site.client.rollouts.get(rollout.id)).planned);
    for (const id of ids) {
      const get = async (href: string | undefined) => send(site, new URL(href ?? '').pathname, { headers });
      const poll = await send(site, `${base}/${encodeURIComponent(id)}`, { headers });
      const href = ddiPollSchema.parse(JSON.parse(poll.text))._links?.deploymentBase?.href;
      const { id: action, deployment } = ddiDeploymentSchema.parse(JSON.parse((await get(href)).text));
      const file = await get(deployment.chunks[0]?.artifacts[0]?._links['download-http']?.href);
      assert.deepEqual([file.status, file.text === String(CONTENT)], [200, true], id);
      const path = `${base}/${encodeURIComponent(id)}/deploymentBase/${action}/feedback`;
      assert.equal((await send(site, path, { ...say('closed', 'success'), headers })).status, 200, id);
    }
    const tasks = await collect(site.client.rollouts.tasks(rollout.id).all());
    assert.ok(tasks.every(({ state }) => isTerminal(state) && state === 'succeeded'));
    for (const id of ids) await site.client.gateways.remove(id);
    assert.deepEqual(await collect(site.client.gateways.all()), []);
  });

  it('that is none is refused, and nobody comes in by it', async () => {
    const none = ['a%2fb', '%2f', 'a%00', 'a%0d%0ab', 'a%7f', '.', '..', '%2e%2e', 'x'.repeat(257), '%ff', 'a%', '%zz'];
    for (const path of none) {
      const { status, text } = await send(site, `${base}/${path}`, { headers });
      assert.ok(status === 400 || status === 404, `${path}: ${status} ${text}`);
    }
    assert.deepEqual(await collect(site.client.gateways.all()), []);
  });
});

describe('one address that asks without end', () => {
  let site: Site;
  before(async () => {
    const rates = ['--read-rate', '1', '--write-rate', '1', '--rate-exempt', 'none', '--trust-proxy', '127.0.0.1'];
    site = await startSite({ nodeArgs: rates });
    await publish(site);
  });
  after(() => site[Symbol.asyncDispose]());

  const from = (id: string, address: string) => ({ ...as(id), 'x-forwarded-for': address });
  /** As often as it takes until one is refused. */
  const refused = (ask: () => Promise<Answer>) =>
    waitFor('429', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, ask));
      return answers.find(({ status }) => status === 429);
    });

  it('hears 429 and when to come again; others, and it later, are served', async () => {
    for (const id of ['loud', 'quiet']) await known(site, id);
    const ask = () => send(site, `${base}/loud`, { headers: from('loud', '192.0.2.1') });
    const { headers, text } = await refused(ask);
    assert.match(String(headers['retry-after']), /^\d+$/);
    assert.match(text, /192\.0\.2\.1/);
    const other = await send(site, `${base}/quiet`, { headers: from('quiet', '192.0.2.2') });
    assert.equal(other.status, 200, other.text);
    await waitFor('it to be served again', async () => (await ask()).status === 200);
    assert.ok((await metric(site, 'leonore_rate_limited_requests_total')) > 0);
  });

  it('is not asked who it is before, and what was refused can be said later', async () => {
    await refused(() => send(site, `${base}/nobody`, { headers: from('nobody', '192.0.2.3') }));
    await known(site, 'worker');
    const rollout = await site.client.rollouts.create({ applications: [{ name: 'firmware' }], selector: 'id=worker' });
    const task = await waitFor(
      'the task',
      async () => (await collect(site.client.rollouts.tasks(rollout.id).all()))[0],
    );
    const path = `${base}/worker/deploymentBase/${task.id}`;
    const get = () => send(site, path, { headers: from('worker', '192.0.2.4') });
    await waitFor('the document', async () => (await get()).status === 200);
    const report = (init: Init) => send(site, `${path}/feedback`, { ...init, headers: from('worker', '192.0.2.4') });
    await refused(() => report(say('proceeding', 'none')));
    await waitFor('its end', async () => {
      const { status, text } = await report(say('closed', 'success'));
      assert.ok(status === 200 || status === 429, text);
      return status === 200;
    });
    assert.equal((await site.client.task(task.id)).state, 'succeeded');
  });

  it('is the address of the connection for who is no proxy', async () => {
    await using direct = await startSite({ nodeArgs: ['--read-rate', '1', '--rate-exempt', 'none'] });
    let i = 0;
    const ask = () => send(direct, `${base}/x`, { headers: from('x', `192.0.2.${i++ % 200}`) });
    assert.match((await refused(ask)).text, /127\.0\.0\.1/);
  });
});

it('whoever stands before the node without being its proxy is not believed', async () => {
  await using site = await startSite({
    nodeArgs: ['--trust-proxy', '10.9.9.9', '--gateway-authority', 'Press Line CA'],
  });
  await known(site, 'gw');
  const signed = { 'x-controller-id': 'gw', 'x-authority': 'Press Line CA' };
  assert.equal((await send(site, `${base}/gw`, { headers: signed })).status, 401);
  const forwarded = { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https', 'x-forwarded-port': '1' };
  const { text } = await send(site, `${base}/gw`, { headers: { ...as('gw'), ...forwarded } });
  assert.ok(!text.includes('evil') && text.includes(`"${site.node.httpUrl}/default/`), text);
});

it('a node that believes certificates on the word of anybody does not start', async () => {
  for (const args of [['--trust-proxy'], []])
    await assert.rejects(startSite({ nodeArgs: [...args, '--gateway-authority', 'ca'] }), /--trust-proxy/);
});
