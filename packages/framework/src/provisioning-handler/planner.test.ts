/** How often the planner solves and builds, over a real repository. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Artifact,
  artifactManifestSchema,
  DEFAULT_TENANT,
  EMPTY_PROFILE,
  type GatewayId,
  type PackageId,
  type Sha256,
} from '@leonore/protocol';
import type { GatewayRecord, PackageRecord, Repositories } from '../repositories/mod.ts';
import { openSqliteRepositories } from '../repositories/mod.ts';
import { createPlanner, type Planner } from './planner.ts';

const ARCHS = ['x64', 'arm', 'arm64', 'riscv64'];
const LIBCS = ['glibc', 'musl', undefined];

function gateway(index: number, profile: Partial<GatewayRecord['profile']> = {}): GatewayRecord {
  const libc = LIBCS[Math.floor(index / ARCHS.length) % LIBCS.length];
  const own = { os: 'linux', arch: ARCHS[index % ARCHS.length], ...(libc === undefined ? {} : { libc }) };
  const id = `gw-${index}` as GatewayId;
  return { id, profile: { ...EMPTY_PROFILE, ...own, ...profile }, labels: {}, desired: [] } as unknown as GatewayRecord;
}

const change = {
  applications: [{ name: 'app' as Artifact['manifest']['name'], range: '*' }],
  remove: [],
  upgrade: false,
} as unknown as Parameters<ReturnType<typeof createPlanner>['plan']>[2];

describe('the planner', () => {
  let folder = '';
  let repositories: Repositories;
  let published = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leonore-planner-'));
    repositories = await openSqliteRepositories({ file: join(folder, 'leonore.db') });
    await publish('svm', '1.0.0');
    await publish('app', '1.0.0', { requires: { artifacts: { svm: '*' } } });
    await publish('tool', '1.0.0', { platform: { arch: 'arm' } });
  });
  after(async () => {
    await repositories[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function publish(name: string, version: string, rest: object = {}): Promise<void> {
    const contentSha256 = String(++published).padStart(64, '0') as Sha256;
    const artifact: Artifact = {
      manifest: artifactManifestSchema.parse({ name, version, ...rest }),
      contentSha256,
      unpackedSize: 1,
      fileCount: 1,
      segments: [{ encoding: 'gzip', sha256: contentSha256, size: 1 }],
      publishedAt: published,
    };
    await repositories.write((set) => set.artifacts.insert(DEFAULT_TENANT, artifact, []));
  }

  function counting() {
    const counts = { solves: 0, builds: 0 };
    const build = () => {
      const id = `p-${counts.builds++}` as PackageId;
      return Promise.resolve({ summary: { id } } as PackageRecord);
    };
    const planner = createPlanner(
      { repositories, builder: { build } },
      { keptPlans: 1000, onSolve: () => counts.solves++ },
    );
    return { counts, planner, build };
  }

  it('solves once for each class, and again only after a publication that can change something', async () => {
    const { counts, planner } = counting();
    const gateways = Array.from({ length: 4000 }, (_, index) => gateway(index));
    const planAll = () => Promise.all(gateways.map((one) => planner.plan(DEFAULT_TENANT, one, change)));
    const first = await planAll();
    assert.deepEqual(counts, { solves: 12, builds: 12 });
    await publish('unrelated', '1.0.0', { requires: { artifacts: { app: '*' } } });
    assert.deepEqual(await planAll(), first);
    assert.deepEqual(counts, { solves: 12, builds: 12 });
    await publish('svm', '2.0.0');
    assert.notDeepEqual(await planAll(), first);
    assert.deepEqual(counts, { solves: 24, builds: 24 });
    await repositories.write((set) => set.artifacts.withdraw(DEFAULT_TENANT, 'svm', '2.0.0', 5, 'bad'));
    await planAll();
    assert.deepEqual(counts, { solves: 36, builds: 36 });
  });

  describe('with gateways that have more or less', () => {
    const MIB = 2 ** 20;
    const wanted = { ...change, applications: [{ name: 'meter', range: '*' }] } as unknown as typeof change;
    const withFree = (index: number, free: number, profile: Partial<GatewayRecord['profile']> = {}) =>
      gateway(index, { disk: { total: 9000 * MIB, free: free * MIB }, ...profile });
    before(async () => {
      await publish('meter', '1.0.0', { requires: { resources: { disk: '300MiB', memory: '10MiB' } } });
      await publish('meter', '2.0.0', { requires: { resources: { disk: '600MiB', memory: '20MiB' } } });
    });
    const versionFor = async (planner: Planner, one: GatewayRecord) => {
      const resolution = await planner.resolve(DEFAULT_TENANT, one, wanted);
      return resolution.outcome === 'plan' ? resolution.plan.steps[0]?.version : undefined;
    };

    it('solves once for all of a class that have plenty, however much each has', async () => {
      const { counts, planner } = counting();
      const gateways = Array.from({ length: 4000 }, (_, index) =>
        withFree(index, 700 + index, { memory: { total: 64 * MIB + index } }),
      );
      const plans = await Promise.all(gateways.map((one) => planner.plan(DEFAULT_TENANT, one, wanted)));
      assert.deepEqual(counts, { solves: 12, builds: 12 });
      assert.ok(plans.every(({ kind }) => kind === 'package'));
      assert.equal(planner.classKey(gateways[0]!, wanted), planner.classKey(gateways[12]!, wanted));
    });

    it('uses all the space there is, takes a smaller version where it must, and solves once for each case', async () => {
      const { counts, planner } = counting();
      const versions = await Promise.all(
        [5000, 601, 600, 599, 512, 300, 299].map((free) => versionFor(planner, withFree(0, free))),
      );
      assert.deepEqual(versions, ['2.0.0', '2.0.0', '2.0.0', '1.0.0', '1.0.0', '1.0.0', undefined]);
      assert.equal(counts.solves, 3);
      const little = withFree(0, 5000, { memory: { total: 15 * MIB } });
      assert.equal(await versionFor(planner, little), '1.0.0');
      assert.equal(await versionFor(planner, gateway(0)), '2.0.0', 'what is not known is not limited');
    });

    it('tells each gateway what it has itself, but plans once for all that have too little', async () => {
      const { counts, planner } = counting();
      const [few, fewer] = [withFree(0, 290), withFree(0, 28)];
      for (const one of [few, fewer]) assert.equal((await planner.plan(DEFAULT_TENANT, one, wanted)).kind, 'blocked');
      assert.equal(counts.solves, 1);
      for (const [one, has] of [
        [few, '290 MiB'],
        [fewer, '28 MiB'],
      ] as const) {
        const resolution = await planner.resolve(DEFAULT_TENANT, one, wanted);
        assert.ok(resolution.outcome === 'unsatisfiable');
        const [fact] = resolution.explanation.facts.filter(({ kind }) => kind === 'resource');
        assert.equal(fact?.text, `meter 1.0.0 needs at least 300 MiB of disk; the gateway has ${has} free`);
      }
    });

    it('knows when a package does not fit any more, be it for want of space or because it was withdrawn', async () => {
      const { planner } = counting();
      const [{ contentSha256 }] = (await repositories.read.artifacts.builds(DEFAULT_TENANT, 'meter', '2.0.0')) as [
        Artifact,
      ];
      const components = [{ name: 'meter', version: '2.0.0', contentSha256 }];
      const keep = [{ name: 'svm', version: '1.0.0' }];
      const record = { manifest: { components, keep } } as unknown as PackageRecord;
      const isGood = (free: number, total: number) =>
        planner.stillGood(DEFAULT_TENANT, withFree(0, free, { memory: { total: total * MIB } }), record);
      assert.deepEqual(await Promise.all([isGood(600, 20), isGood(599, 20), isGood(600, 19)]), [true, false, false]);
      await repositories.write((set) => set.artifacts.withdraw(DEFAULT_TENANT, 'meter', '2.0.0', 5, 'bad'));
      assert.equal(await isGood(600, 20), false);
    });
  });

  it('what is published while the catalogue is read is in it, or all of it is read again', async () => {
    const { artifacts } = repositories.read;
    let readings = 0;
    const all: typeof artifacts.all = async (tenant) => {
      const read = await artifacts.all(tenant);
      if (readings++ < 2) await publish(`late-${readings}`, '1.0.0');
      return read;
    };
    const reading = { read: { artifacts: { all, revision: artifacts.revision } } };
    const planner = createPlanner({ repositories: reading, builder: counting() }, { keptPlans: 10 });
    const catalogue = await planner.catalogue(DEFAULT_TENANT);
    assert.deepEqual([catalogue.revision, readings], [await artifacts.revision(DEFAULT_TENANT), 3]);
    assert.equal(catalogue.versions('late-2').length, 1);
    assert.equal(await planner.catalogue(DEFAULT_TENANT), catalogue);
  });

  it('explaining and planning share the answer; other encodings share it too but not the package', async () => {
    const { counts, planner } = counting();
    const one = gateway(0);
    await planner.resolve(DEFAULT_TENANT, one, change);
    await planner.plan(DEFAULT_TENANT, one, change);
    await planner.plan(DEFAULT_TENANT, gateway(0, { encodings: ['zstd', 'gzip'] }), change);
    assert.deepEqual(counts, { solves: 1, builds: 2 });
  });

  it('a gateway that declares a compatible architecture is of another class and gets its builds', async () => {
    const { planner } = counting();
    const wanted = { ...change, applications: [{ name: 'tool', range: '*' }] } as unknown as typeof change;
    const plain = gateway(2);
    const able = gateway(2, { compatibleArchs: ['arm', 'arm64', 'No Word', 'arm'] });
    assert.equal((await planner.plan(DEFAULT_TENANT, plain, wanted)).kind, 'blocked');
    assert.equal((await planner.plan(DEFAULT_TENANT, able, wanted)).kind, 'package');
    assert.notEqual(planner.classKey(able, wanted), planner.classKey(plain, wanted));
    const same = gateway(2, { compatibleArchs: ['arm'] });
    assert.equal(planner.classKey(able, wanted), planner.classKey(same, wanted));
  });
});
