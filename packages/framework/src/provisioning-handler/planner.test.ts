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
import { createPlanner } from './planner.ts';

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
    return { counts, planner };
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
