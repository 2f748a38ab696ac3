/**
 * hawkBit's DDI, call by call, against what is recorded in ddi-contract/: one gateway of another maker for each scenario,
 * one image that LEONORE does not look into, plain HTTP.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { collect } from '@leonore/client';
import { startSite, waitFor, type Site } from '@leonore/testkit';
import { ARTIFACTS } from './ddi-contract/artifacts.ts';
import { CANCEL } from './ddi-contract/cancel.ts';
import { CONFIG_DATA } from './ddi-contract/config-data.ts';
import { CONFIRMATION } from './ddi-contract/confirmation.ts';
import { DEPLOYMENT } from './ddi-contract/deployment.ts';
import { POLL } from './ddi-contract/poll.ts';
import type { Call, Scenario, Step } from './ddi-contract/scenario.ts';

const GATEWAY_TOKEN = 'any-gateway-of-this-maker';
const CONTENT = Buffer.from('0123456789'.repeat(100));
const digest = (name: string) => createHash(name).update(CONTENT).digest('hex');

let site: Site;
before(async () => {
  const proxy = ['--trust-proxy', '127.0.0.1', '--gateway-authority', 'Press Line CA'];
  site = await startSite({ nodeArgs: ['--gateway-token', GATEWAY_TOKEN, ...proxy] });
  const parts = { firmware: 'os', settings: 'application' };
  for (const [name, part] of Object.entries(parts)) {
    const manifest = { name, version: '1.0.0', kind: 'image', image: { part } };
    await site.publish({ manifest, image: { [`${name}.bin`]: CONTENT } });
  }
});
after(() => site[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** What the placeholders stand for. */
type Values = Map<string, string>;

function fill(text: string, values: Values, escape = false): string {
  return text.replaceAll(/\{([a-zA-Z0-9]+)\}/g, (whole, name: string) => {
    const value = values.get(name);
    if (value === undefined) return whole;
    return escape ? value.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&') : value;
  });
}

/** Not fetch: it takes HEAD's answer apart, adds headers of its own and does not send some. */
function send(call: Call, values: Values): Promise<Answer> {
  const path = fill(call.path, values);
  const body = call.json === undefined ? call.text : JSON.stringify(call.json);
  const headers: Record<string, string> = { authorization: `TargetToken token-of-${values.get('id')}` };
  if (call.json !== undefined) headers['content-type'] = 'application/json;charset=UTF-8';
  if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
  for (const [name, value] of Object.entries(call.headers ?? {})) {
    if (value === null) delete headers[name];
    else headers[name] = fill(value, values);
  }
  const url = new URL(path.startsWith('/') ? path : `/default/controller/v1/${path}`, site.node.httpUrl);
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: call.method ?? 'GET', headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])),
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** Throws unless `found` is what was recorded: the same members, texts equal or as the expression says. */
function compare(found: unknown, expected: unknown, values: Values, where: string): void {
  if (typeof expected === 'string' && expected.startsWith('~')) {
    const text = typeof found === 'string' ? found : JSON.stringify(found);
    assert.match(text, new RegExp(fill(expected.slice(1), values, true), 's'), where);
  } else if (typeof expected === 'string') {
    const text = fill(expected, values);
    assert.equal(found, typeof found === 'number' && expected === '{size}' ? Number(text) : text, where);
  } else if (typeof expected === 'object' && expected !== null) {
    assert.ok(typeof found === 'object' && found !== null, `${where} is there`);
    assert.deepEqual(Object.keys(found).toSorted(), Object.keys(expected).toSorted(), `the members of ${where}`);
    for (const [key, value] of Object.entries(expected))
      compare((found as Record<string, unknown>)[key], value, values, `${where}.${key}`);
  } else assert.equal(found, expected, where);
}

async function check(call: Call, values: Values): Promise<void> {
  const answer = await send(call, values);
  const where = `${call.says}: ${call.method ?? 'GET'} ${fill(call.path, values)}`;
  assert.equal(answer.status, call.status, `${where}: ${answer.body}`);
  for (const [name, expected] of Object.entries(call.answers ?? {})) {
    if (expected === null) assert.equal(answer.headers[name], undefined, `${where}: ${name}`);
    else compare(answer.headers[name], expected, values, `${where}: ${name}`);
  }
  if (typeof call.body === 'string') compare(answer.body, call.body, values, `${where}: the body`);
  else if (call.body !== undefined) compare(JSON.parse(answer.body), call.body, values, `${where}: the body`);
  if (answer.headers['etag'] !== undefined) values.set('etag', answer.headers['etag']);
  if (answer.headers['last-modified'] !== undefined) values.set('lastModified', answer.headers['last-modified']);
}

async function take(step: Step, values: Values): Promise<void> {
  const id = values.get('id') ?? '';
  if ('path' in step) return check(step, values);
  if ('task' in step) {
    const task = await site.client.task(Number(values.get('task')));
    assert.equal(task.state, step.task, JSON.stringify(task.transitions));
    if (step.message !== undefined) assert.equal(task.message, step.message);
    return;
  }
  if (step.operator === 'abort') {
    await site.client.rollouts.abort(Number(values.get('rollout')));
    return;
  }
  if (step.operator === 'refresh') {
    await site.client.gateways.refresh(id);
    return;
  }
  const { handling, application = 'firmware', as = 'task' } = step;
  const wanted = { applications: [{ name: application }], selector: `id=${id}` };
  const rollout = await site.client.rollouts.create({ ...wanted, ...(handling ? { handling } : {}) });
  const task = await waitFor('the task', async () => (await collect(site.client.rollouts.tasks(rollout.id).all()))[0]);
  values.set('rollout', String(rollout.id));
  values.set(as, String(task.id));
}

let count = 0;
async function play({ name, steps }: Scenario): Promise<void> {
  const id = `${name.replaceAll(/[^a-z]+/g, '-').slice(0, 40)}${++count}`;
  await site.client.gateways.create({ id, token: `token-of-${id}`, profile: { formats: ['image'] } });
  const origin = site.node.httpUrl;
  const values: Values = new Map([
    ['id', id],
    ['base', `${origin}/default/controller/v1/${id}`],
    ['download', `${origin}/DEFAULT/controller/v1/${id}`],
    ['gatewayToken', GATEWAY_TOKEN],
    ['sha1', digest('sha1')],
    ['sha256', digest('sha256')],
    ['md5', digest('md5')],
    ['size', String(CONTENT.length)],
  ]);
  for (const step of steps) await take(step, values);
}

const SECTIONS = {
  'base, credentials, poll': POLL,
  'deployment and feedback': DEPLOYMENT,
  cancelation: CANCEL,
  'configData and installedBase': CONFIG_DATA,
  confirmation: CONFIRMATION,
  artifacts: ARTIFACTS,
};
for (const [section, scenarios] of Object.entries(SECTIONS)) {
  describe(`DDI: ${section}`, () => {
    for (const scenario of scenarios) it(scenario.name, () => play(scenario));
  });
}
