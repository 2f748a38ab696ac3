/** Enrolment and profiles over a real SQLite file: who comes twice or at once, and who says too much. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  DEFAULT_TENANT,
  gatewayIdSchema,
  isLeonoreError,
  parseSelector,
  tenantSchema,
  type ErrorCode,
} from '@leonore/protocol';
import { openSqliteRepositories, type Repositories } from '../repositories/mod.ts';
import { createGatewayManagement, type GatewayManagement } from './mod.ts';

let dir: string;
let repositories: Repositories;
let gateways: GatewayManagement;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'leonore-gateways-'));
  repositories = await openSqliteRepositories({ file: join(dir, 'leonore.db') });
  gateways = createGatewayManagement(
    { repositories, now: () => 1000, onError: (error) => assert.fail(String(error)) },
    { livenessFlushIntervalMs: 3_600_000 },
  );
});
after(async () => {
  await gateways[Symbol.asyncDispose]();
  await repositories[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

const TENANT = DEFAULT_TENANT;
const idOf = (id: string) => gatewayIdSchema.parse(id);
const secret = (digit: string) => digit.repeat(64);
const withCode = (code: ErrorCode) => (error: unknown) => isLeonoreError(error, code);
const tokenFor = async (uses: number) =>
  (await gateways.createToken(TENANT, { uses, ttlSeconds: 60, labels: {} })).token ?? '';
async function known(id: string) {
  await gateways.create(TENANT, { id, labels: {} });
  return idOf(id);
}

describe('enrolment', () => {
  it('is answered alike to all who ask at once with the same secret', async () => {
    const token = await tokenFor(1);
    const asked = Array.from({ length: 20 }, () => gateways.enrol(TENANT, { token, id: 'twice', secret: secret('a') }));
    for (const record of await Promise.all(asked)) assert.equal(record.id, 'twice');
    assert.equal((await gateways.listTokens(TENANT))[0]?.usesLeft, 0);
  });
  it('of 50 at once on a single-use token takes one', async () => {
    const token = await tokenFor(1);
    const asked = Array.from({ length: 50 }, (_, i) =>
      gateways.enrol(TENANT, { token, id: `race-${i}`, secret: secret('b') }),
    );
    const outcomes = await Promise.allSettled(asked);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  });
  it('gives no use of a token to who wants a taken id', async () => {
    const token = await tokenFor(1);
    await assert.rejects(
      gateways.enrol(TENANT, { token, id: 'twice', secret: secret('c') }),
      withCode('gateway.taken'),
    );
    await gateways.enrol(TENANT, { token, id: 'another', secret: secret('c') });
  });
});

describe('a profile', () => {
  const words = (count: number, length = 4) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'x'.repeat(length)]));
  it('has bounds, and what is refused leaves no trace', async () => {
    const id = await known('loud');
    const tooMuch = [
      { labels: words(101) },
      { attributes: words(101) },
      { capabilities: Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`c${i}`, '1'])) },
      { attributes: words(3, 100_000) },
    ];
    for (const body of tooMuch)
      for (const mode of ['merge', 'replace'] as const)
        await assert.rejects(gateways.putProfile(TENANT, id, body, mode), withCode('quota.exceeded'));
    const fits = { mode: 'merge', data: words(100) } as const;
    await gateways.putAttributes(TENANT, id, fits);
    await assert.rejects(
      gateways.putAttributes(TENANT, id, { mode: 'merge', data: { more: '1' } }),
      withCode('quota.exceeded'),
    );
    assert.equal(Object.keys((await gateways.get(TENANT, id)).profile.attributes).length, 100);
    await assert.rejects(gateways.patchLabels(TENANT, id, words(101)), withCode('quota.exceeded'));
    await assert.rejects(gateways.create(TENANT, { id: 'x', labels: words(101) }), withCode('quota.exceeded'));
  });
  it('nested without end is refused, and so are prototypes', async () => {
    const id = await known('deep');
    const deep: unknown = JSON.parse(`${'{"cpu":'.repeat(50_000)}1${'}'.repeat(50_000)}`);
    await assert.rejects(gateways.putProfile(TENANT, id, deep, 'merge'), withCode('request.invalid'));
    const hostile: unknown = JSON.parse('{"__proto__":{"os":"evil"},"labels":{"__proto__":{"a":"b"}},"arch":"x64"}');
    await gateways.putProfile(TENANT, id, hostile, 'merge');
    const { profile } = await gateways.get(TENANT, id);
    assert.deepEqual([profile.os, profile.arch, profile.labels], [undefined, 'x64', {}]);
    assert.equal(({} as { os?: string }).os, undefined);
  });
  it('takes a patch for the state it was made from only, and each once; what it misses it asks for', async () => {
    const id = await known('patched');
    const profile = async () => (await gateways.get(TENANT, id)).profile;
    const patch = (body: object) => gateways.putProfile(TENANT, id, body, 'merge');
    // Nothing is known yet.
    await assert.rejects(patch({ base: 'a', revision: 'b', os: 'x' }), withCode('profile.base'));
    await gateways.putProfile(TENANT, id, { os: 'linux', revision: 'a', labels: { x: '1' } }, 'replace');
    await patch({ base: 'a', revision: 'b', arch: 'arm64' });
    // It comes twice, and something else was written in between.
    await gateways.putAttributes(TENANT, id, { mode: 'merge', data: { made: 'by DDI' } });
    await patch({ base: 'a', revision: 'b', arch: 'arm64', attributes: null });
    assert.deepEqual((await profile()).attributes, { made: 'by DDI' });
    const { revision, arch, os } = await profile();
    assert.deepEqual([revision, arch, os], ['b', 'arm64', 'linux']);
    assert.ok(!JSON.stringify(await profile()).includes('base'));
    // Without a base it is merged as ever.
    await patch({ hostname: 'h' });
    assert.equal((await profile()).hostname, 'h');
    await assert.rejects(patch({ base: 'a', revision: 'c', os: 'x' }), withCode('profile.base'));
    const after = await profile();
    assert.deepEqual([after.revision, after.os, after.hostname], [undefined, 'linux', 'h']);
    await gateways.putProfile(TENANT, id, { os: 'linux', revision: 'd' }, 'replace');
    assert.equal((await profile()).revision, 'd');
  });
  it('has facts that can be selected by, and nothing else can say them', async () => {
    const id = await known('factual');
    const body = {
      board: 'Raspberry Pi 4 Model B',
      distribution: { id: 'debian', version: '12' },
      network: { interfaces: [], subnet: '10.0.0.0/8' },
      attributes: { 'fact/line': 'forged', 'app/svm': '9.9.9' },
      facts: { line: 7, on: true, note: 'two words' },
    };
    await gateways.putProfile(TENANT, id, body, 'replace');
    const found = async (text: string) =>
      (await gateways.list(TENANT, { limit: 10, selector: parseSelector(text) })).items.map((one) => one.id as string);
    for (const text of [
      'fact/line=7',
      'fact/on=true',
      'fact/note',
      'board=raspberry-pi-4-model-b',
      'distribution=debian,distribution-version=12',
      'subnet=10.0.0.0/8',
    ])
      assert.deepEqual(await found(text), ['factual'], text);
    for (const text of ['fact/line=forged', 'app/svm', 'fact/none']) assert.deepEqual(await found(text), [], text);
    await gateways.putProfile(TENANT, id, { facts: { line: null } }, 'merge');
    assert.deepEqual(await found('fact/line'), []);
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, i]));
    await assert.rejects(gateways.putProfile(TENANT, id, { facts: many }, 'merge'), withCode('request.invalid'));
  });
  it('keeps what others change while attributes come in', async () => {
    const id = await known('busy');
    const installed = [{ name: 'svm', version: '1.0.0', requested: true }];
    await Promise.all([
      ...Array.from({ length: 20 }, (_, i) =>
        gateways.putAttributes(TENANT, id, { mode: 'merge', data: { [`a${i}`]: '1' } }),
      ),
      gateways.putProfile(TENANT, id, { installed }, 'merge'),
    ]);
    const { profile } = await gateways.get(TENANT, id);
    assert.equal(Object.keys(profile.attributes).length, 20);
    assert.equal(profile.installed?.[0]?.version, '1.0.0');
  });
});

describe('a gateway that is asked anew', () => {
  it('keeps its profile, but for the name of its state', async () => {
    const id = idOf('another');
    const told = { hostname: 'press-7', revision: 'r1' };
    await gateways.putProfile(TENANT, id, told, 'replace');
    await gateways.askAnew(TENANT, id);
    const { profile } = await gateways.get(TENANT, id);
    assert.deepEqual([profile.hostname, profile.revision], ['press-7', undefined]);
    await assert.rejects(gateways.askAnew(TENANT, idOf('nobody')), withCode('gateway.unknown'));
  });
});

it("a certificate counts in the tenant whose authority signed it, and in no other's", async () => {
  const acme = tenantSchema.parse('acme');
  await using other = createGatewayManagement(
    { repositories, now: () => 1000, onError: (error) => assert.fail(String(error)) },
    { gatewayAuthorities: new Map([[acme, ['Acme Root']]]), livenessFlushIntervalMs: 3_600_000 },
  );
  const id = idOf('signed');
  assert.equal(await other.authenticateSigned(TENANT, id, ['Acme Root'], true), false);
  assert.equal(await other.authenticateSigned(acme, id, ['other'], true), false);
  await assert.rejects(other.get(acme, id), withCode('gateway.unknown'));
  assert.equal(await other.authenticateSigned(acme, id, ['other', 'ACME root'], true), true);
  assert.equal((await other.get(acme, id)).id, id);
});
