import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type ArtifactName,
  EMPTY_PROFILE,
  type GatewayProfile,
  type Labels,
  matchesSelector,
  parseSelector,
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import { startPostgres } from '@leonore/testkit';
import fc from 'fast-check';
import { gateway, gatewayId, tenantNamed } from '../conformance/samples.ts';
import type { Repositories } from '../contract.ts';
import { openPostgresRepositories, openSqliteRepositories } from '../mod.ts';

interface Described {
  readonly profile: GatewayProfile;
  readonly labels: Labels;
}

const KEYS = ['os', 'arch', 'agent', 'hostname', 'site', 'a/b.c', 'id', 'toString', 'app/svm', 'fact/line', 'board'];
const VALUES = ['', 'x', 'X', 'vienna', 'gw-0', 'gw-3', 'ä', "it's", '%', '_', '\\', 'x'.repeat(255)];
const key = fc.constantFrom(...KEYS);
const value = fc.constantFrom(...VALUES);
const someLabels = fc.dictionary(key, value, { maxKeys: 4, noNullPrototype: true });
const word = fc.option(value, { nil: undefined });

const described: fc.Arbitrary<Described> = fc.record({
  profile: fc
    .record({
      os: word,
      arch: word,
      hostname: word,
      agentName: word,
      labels: someLabels,
      attributes: someLabels,
      // Any word of VALUES for a version, so that selectors and versions meet.
      svm: word,
      line: fc.option(fc.oneof(value, fc.integer(), fc.boolean()), { nil: undefined }),
      board: fc.constantFrom(undefined, 'X', 'Vienna!', 'gw 3'),
    })
    .map(({ agentName, svm, line, ...profile }) => ({
      ...EMPTY_PROFILE,
      ...profile,
      ...(svm === undefined
        ? {}
        : { installed: [{ name: 'svm' as ArtifactName, version: svm, state: 'running' as const, requested: false }] }),
      ...(line === undefined ? {} : { facts: { line } }),
      ...(agentName === undefined ? {} : { agent: { name: agentName, version: '1.0.0' } }),
    })),
  labels: someLabels,
});

const selector: fc.Arbitrary<Selector> = fc
  .array(
    fc.oneof(
      fc.record({
        kind: fc.constantFrom('in' as const, 'notin' as const),
        key,
        values: fc.array(value, { minLength: 1, maxLength: 3 }),
      }),
      fc.record({ kind: fc.constantFrom('exists' as const, 'missing' as const), key }),
    ),
    { maxLength: 3 },
  )
  .map((terms) => ({ text: JSON.stringify(terms), terms }));

/** What a selector sees, said another way than the code under test says it. */
function lookupOf(id: string, { profile, labels }: Described): (key: string) => string | undefined {
  const own = (from: object, key: string) =>
    Object.hasOwn(from, key) ? (from as Record<string, string>)[key] : undefined;
  const said = {
    os: profile.os,
    arch: profile.arch,
    libc: profile.libc,
    kernel: profile.kernel,
    hostname: profile.hostname,
    agent: profile.agent?.name,
    board: profile.board?.toLowerCase().replace('!', '').replace(' ', '-'),
  };
  return (key) =>
    key === 'id'
      ? id
      : key === 'app/svm'
        ? profile.installed?.[0]?.version
        : key === 'fact/line'
          ? profile.facts && String(profile.facts['line'])
          : (own(labels, key) ?? own(profile.labels, key) ?? own(said, key) ?? own(profile.attributes, key));
}

function selectorsConform(open: () => Promise<Repositories>, numRuns: number): void {
  let opened: Repositories | undefined;
  let runs = 0;
  const repositories = () => opened!;
  before(async () => {
    opened = await open();
  });
  after(() => opened?.[Symbol.asyncDispose]());

  async function check(tenant: Tenant, fleet: readonly Described[], wanted: Selector): Promise<void> {
    const { gateways } = repositories().read;
    const expected = fleet.flatMap((one, i) => (matchesSelector(wanted, lookupOf(`gw-${i}`, one)) ? [`gw-${i}`] : []));
    const { items } = await gateways.list(tenant, { limit: 100, selector: wanted });
    assert.deepEqual(
      items.map(({ id }) => id),
      expected,
      wanted.text,
    );
    assert.equal(await gateways.count(tenant, wanted), expected.length);
    // A page that begins in the middle says the same of the rest.
    const first = await gateways.list(tenant, { limit: 2, selector: wanted });
    const rest = first.next
      ? await gateways.list(tenant, { limit: 100, selector: wanted, cursor: first.next })
      : { items: [] };
    assert.deepEqual(
      [...first.items, ...rest.items].map(({ id }) => id),
      expected,
      wanted.text,
    );
  }

  it('select what matchesSelector selects, also after profiles and labels changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(described, described), { minLength: 1, maxLength: 8 }),
        fc.array(selector, { minLength: 1, maxLength: 6 }),
        async (fleet, selectors) => {
          const tenant = tenantNamed(`run-${runs++}`);
          await repositories().write(async (set) => {
            for (const [i, [one]] of fleet.entries()) await set.gateways.insert(tenant, gateway(`gw-${i}`, one));
          });
          for (const wanted of selectors)
            await check(
              tenant,
              fleet.map(([one]) => one),
              wanted,
            );
          await repositories().write(async (set) => {
            for (const [i, [, other]] of fleet.entries()) {
              await set.gateways.setProfile(tenant, gatewayId(`gw-${i}`), other.profile);
              await set.gateways.setLabels(tenant, gatewayId(`gw-${i}`), other.labels);
            }
          });
          for (const wanted of selectors)
            await check(
              tenant,
              fleet.map(([, other]) => other),
              wanted,
            );
        },
      ),
      { numRuns },
    );
  });

  it('name every key that some gateway has, and the profile keys, once each', async () => {
    const tenant = tenantNamed('keys');
    const keys = ['a', 'ab', 'b', 'site', 'ä'];
    await repositories().write(async (set) => {
      for (const [i, name] of keys.entries()) {
        await set.gateways.insert(tenant, gateway(`gw-${i}`, { labels: { [name]: 'x', site: `${i}` } }));
      }
    });
    assert.deepEqual(await repositories().read.gateways.selectorKeys(tenant), [
      'a',
      'ab',
      'agent',
      'arch',
      'b',
      'board',
      'distribution',
      'distribution-version',
      'hostname',
      'id',
      'kernel',
      'libc',
      'os',
      'site',
      'subnet',
      'ä',
    ]);
  });

  it('know of an overlong or unprintable value only that it is there', async () => {
    const tenant = tenantNamed('long');
    const attributes = { long: 'x'.repeat(5000), nul: 'a\0b', [`k${'k'.repeat(5000)}`]: 'v' };
    await repositories().write((set) =>
      set.gateways.insert(tenant, gateway('gw', { profile: { ...EMPTY_PROFILE, attributes } })),
    );
    const count = (terms: Selector['terms']) => repositories().read.gateways.count(tenant, { text: '', terms });
    assert.equal(await count(parseSelector('long,nul').terms), 1);
    for (const values of [['x'.repeat(5000)], ['x'.repeat(256)], ['a\0b']]) {
      for (const name of ['long', 'nul', 'id']) {
        assert.equal(await count([{ kind: 'in', key: name, values }]), 0);
        assert.equal(await count([{ kind: 'notin', key: name, values }]), 1);
      }
    }
  });

  it('cannot be led astray by a label named id', async () => {
    const tenant = tenantNamed('posing');
    const posing = { labels: { id: 'victim' }, profile: { ...EMPTY_PROFILE, labels: { id: 'victim' } } };
    await repositories().write((set) => set.gateways.insert(tenant, gateway('attacker', posing)));
    assert.equal(await repositories().read.gateways.count(tenant, parseSelector('id=victim')), 0);
    assert.equal(await repositories().read.gateways.count(tenant, parseSelector('id=attacker')), 1);
  });
}

describe('selectors on SQLite', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leonore-selectors-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  selectorsConform(() => openSqliteRepositories({ file: join(folder, 'leonore.db') }), 100);
});

const server = await startPostgres();
if (server.kind === 'missing') {
  it('selectors on PostgreSQL', { skip: server.reason });
} else {
  describe('selectors on PostgreSQL', () => {
    after(() => server[Symbol.asyncDispose]());
    selectorsConform(() => openPostgresRepositories({ url: server.url }), 40);
  });
}
