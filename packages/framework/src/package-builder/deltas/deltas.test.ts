/** Deltas as a whole, over a real database, real blobs and a real thread. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { DEFAULT_TENANT, EMPTY_PROFILE, type GatewayId, type GatewayProfile, type Sha256 } from '@leonore/protocol';
import type { DeltaMaker } from './delta-maker.ts';
import {
  ABLE,
  applied,
  nextRelease,
  openDeltaRig,
  pairOf,
  updatePackage,
  type Build,
  type DeltaRig,
} from './testing/delta-rig.ts';

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-deltas-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Versions of one thing, each a little different from the one before. */
async function publishReleases(rig: DeltaRig, count: number, size = 20_000): Promise<Build[]> {
  const builds: Build[] = [];
  let tar: Buffer = randomBytes(size);
  for (let i = 1; i <= count; i++) {
    builds.push(await rig.publish(`${i}.0.0`, tar));
    tar = nextRelease(tar);
  }
  return builds;
}

async function two(rig: DeltaRig): Promise<[Build, Build]> {
  const [from, to] = await publishReleases(rig, 2);
  assert.ok(from && to);
  return [from, to];
}

const offersTo = (rig: DeltaRig, record: ReturnType<typeof updatePackage>, profile: GatewayProfile = ABLE) =>
  rig.deltas.offers(record, () => Promise.resolve(profile));

/** Nothing is being made or waits for it. */
async function quiet(rig: DeltaRig): Promise<void> {
  while (rig.deltas.counts.queued > 0) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Makers that fail when told to, and count. */
function fakeMaker(make: DeltaMaker['make']): DeltaMaker & { calls: number } {
  const maker = {
    calls: 0,
    make(job: Parameters<DeltaMaker['make']>[0]) {
      maker.calls++;
      return make(job);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return maker;
}

const smallDelta = (size = 100) =>
  Promise.resolve({ kind: 'made' as const, delta: new Uint8Array(randomBytes(size)), fromSize: 10, toSize: 10 });

describe('deltas', () => {
  it('are made before gateways are told, and make the new build of the old one', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const [from, to] = await two(rig);
    const record = updatePackage(from, to);
    await rig.deltas.prepare([record, record]);
    const [offer, ...others] = await offersTo(rig, record);
    assert.ok(offer && others.length === 0);
    const { sha256, size, ...rest } = offer;
    assert.deepEqual(rest, {
      kind: 'zstd',
      name: 'svm',
      from: from.artifact.contentSha256,
      fromSize: from.tar.length,
      toSize: to.tar.length,
    });
    assert.ok(size < 500);
    const bytes = await rig.download(record, sha256);
    assert.equal(bytes?.length, size);
    assert.ok((await applied(bytes, from, to.tar.length)).equals(to.tar));
    const { made, madeBytes, useless, failed, queued } = rig.deltas.counts;
    assert.deepEqual([made, madeBytes, useless, failed, queued], [1, size, 0, 0, 0]);
    assert.deepEqual(rig.errors, []);
  });

  it('are made once for all who ask, and are there for the next run', async (t) => {
    const dir = await folder(t);
    const maker = fakeMaker(() => smallDelta());
    let record: ReturnType<typeof updatePackage> | undefined;
    {
      await using rig = await openDeltaRig(dir, { maker });
      record = updatePackage(...(await two(rig)));
      const all = [record, record, record];
      await Promise.all(all.map((one) => rig.deltas.prepare([one])));
      await rig.deltas.prepare([record]);
    }
    await using rig = await openDeltaRig(dir, { maker });
    await rig.deltas.prepare([record]);
    assert.equal((await offersTo(rig, record)).length, 1);
    assert.equal(maker.calls, 1);
  });

  it('are answered from memory, and the gateway is looked at only when there is something for it', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const builds = await publishReleases(rig, 3);
    const [a, b] = builds;
    assert.ok(a && b);
    await rig.deltas.prepare([updatePackage(a, b)]);
    await offersTo(rig, updatePackage(a, b));
    let queries = 0;
    const { find } = rig.repositories.read.deltas;
    rig.repositories.read.deltas.find = (pair) => (queries++, find(pair));
    for (let i = 0; i < 10; i++) assert.equal((await offersTo(rig, updatePackage(a, b))).length, 1);
    assert.equal(queries, 0);
    const nobody = () => assert.fail('the gateway was looked at');
    assert.deepEqual(await rig.deltas.offers({ ...updatePackage(a, b), bases: [] }, nobody), []);
    // The same content, and what is no archive of ours, need none.
    assert.deepEqual(await rig.deltas.offers(updatePackage(a, a), nobody), []);
    assert.deepEqual(await rig.deltas.offers(updatePackage(a, b, { encoding: undefined }), nobody), []);
  });

  it('are offered to those that can apply them, and made for those', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const record = updatePackage(...(await two(rig)));
    for (const profile of [EMPTY_PROFILE, { ...EMPTY_PROFILE, deltas: [] }]) {
      assert.deepEqual(await offersTo(rig, record, profile), []);
    }
    assert.deepEqual(await rig.deltas.offers(record, () => Promise.resolve(undefined)), []);
    assert.equal(rig.deltas.counts.queued, 0);
    // Nobody waits for it here: the next one has it.
    assert.deepEqual(await offersTo(rig, record), []);
    await quiet(rig);
    assert.equal((await offersTo(rig, record)).length, 1);
    const memory = (total: number) => ({ ...ABLE, memory: { total } }) as GatewayProfile;
    assert.deepEqual(await offersTo(rig, record, memory(160_000)), []);
    assert.equal((await offersTo(rig, record, memory(161_000))).length, 1);
  });

  it('that would not save enough are remembered and not made again', async (t) => {
    const dir = await folder(t);
    const maker = fakeMaker(() => smallDelta(19_000));
    {
      await using rig = await openDeltaRig(dir, { maker });
      const record = updatePackage(...(await two(rig)));
      await rig.deltas.prepare([record]);
      await rig.deltas.prepare([record]);
      assert.deepEqual(await rig.deltas.offers(record, () => assert.fail('there is nothing to offer')), []);
      assert.equal(rig.deltas.counts.useless, 1);
      assert.deepEqual(await rig.deltaBlobs(), []);
    }
    assert.equal(maker.calls, 1);
  });

  it('of builds that are too large are not tried', async (t) => {
    const maker = fakeMaker(() => smallDelta());
    await using rig = await openDeltaRig(await folder(t), { maker, maxPairBytes: 40_049 });
    await rig.deltas.prepare([updatePackage(...(await two(rig)))]);
    assert.deepEqual([maker.calls, rig.deltas.counts.useless], [0, 1]);
  });

  it('that fail are told of, do not stop the others, and are tried again after a while', async (t) => {
    let fails = true;
    const maker = fakeMaker(() => (fails ? Promise.reject(new Error('out of order')) : smallDelta()));
    await using rig = await openDeltaRig(await folder(t), { maker, retryAfterMs: 600_000 });
    const [a, b, c] = await publishReleases(rig, 3);
    assert.ok(a && b && c);
    await rig.deltas.prepare([updatePackage(a, b)]);
    fails = false;
    await rig.deltas.prepare([updatePackage(a, b), updatePackage(b, c)]);
    assert.equal(maker.calls, 2);
    assert.deepEqual(rig.errors.map(String), ['Error: out of order']);
    assert.equal((await offersTo(rig, updatePackage(b, c))).length, 1);
    rig.clock.now += 599_999;
    await rig.deltas.prepare([updatePackage(a, b)]);
    assert.equal(maker.calls, 2);
    rig.clock.now += 1;
    await rig.deltas.prepare([updatePackage(a, b)]);
    assert.equal((await offersTo(rig, updatePackage(a, b))).length, 1);
    assert.deepEqual([maker.calls, rig.deltas.counts.failed, rig.deltas.counts.made], [3, 1, 2]);
  });

  it('hold up nobody for longer than said, and come all the same', async (t) => {
    const late = Promise.withResolvers<void>();
    const maker = fakeMaker(() => late.promise.then(() => smallDelta()));
    await using rig = await openDeltaRig(await folder(t), { maker, maxWaitMs: 50 });
    const record = updatePackage(...(await two(rig)));
    await rig.deltas.prepare([record]);
    assert.deepEqual(await offersTo(rig, record), []);
    assert.equal(rig.deltas.counts.queued, 1);
    late.resolve();
    await quiet(rig);
    assert.equal((await offersTo(rig, record)).length, 1);
  });

  it('that are being made when the node stops are made after its next start', async (t) => {
    const dir = await folder(t);
    let record: ReturnType<typeof updatePackage> | undefined;
    {
      const stopped = Promise.withResolvers<never>();
      const begun = Promise.withResolvers<void>();
      const maker: DeltaMaker = {
        make: () => (begun.resolve(), stopped.promise),
        [Symbol.asyncDispose]: () => Promise.resolve(stopped.reject(new Error('stopped'))),
      };
      await using rig = await openDeltaRig(dir, { maker });
      record = updatePackage(...(await two(rig)));
      void rig.deltas.prepare([record]);
      await begun.promise;
    }
    await using rig = await openDeltaRig(dir);
    await rig.deltas.prepare([record]);
    assert.equal((await offersTo(rig, record)).length, 1);
  });

  it('are made after a publication from what most gateways run', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const [a, b, c] = await publishReleases(rig, 3);
    assert.ok(a && b && c);
    rig.deltas.published(DEFAULT_TENANT, c.artifact);
    const runs = (id: string, version: string) =>
      rig.repositories.write((set) =>
        set.gateways.insert(DEFAULT_TENANT, {
          id: id as GatewayId,
          profile: {
            ...ABLE,
            installed: [{ name: a.artifact.manifest.name, version, state: 'running', requested: true }],
          },
          labels: {},
          origin: 'enrolled',
          enrolledAt: 1,
          desired: [],
        }),
      );
    for (const id of ['x', 'y']) await runs(id, '1.0.0');
    await runs('z', '2.0.0');
    const read = rig.repositories.read.gateways.installedVersions;
    const { promise: looked, resolve } = Promise.withResolvers<void>();
    rig.repositories.read.gateways.installedVersions = async (...query) => {
      try {
        return await read(...query);
      } finally {
        setImmediate(resolve);
      }
    };
    rig.deltas.published(DEFAULT_TENANT, c.artifact);
    await looked;
    while (rig.deltas.counts.made === 0) await new Promise((wake) => setTimeout(wake, 2));
    assert.equal((await offersTo(rig, updatePackage(a, c))).length, 1);
    assert.equal(rig.deltas.counts.made, 1);
  });

  it('tell their size to who asks, made first if need be', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const [from, to] = await two(rig);
    const size = await rig.deltas.bytes(pairOf(from, to));
    assert.ok(size !== undefined && size < 500);
    assert.equal(await rig.deltas.bytes(pairOf(from, to)), size);
    const nowhere = { from: from.artifact.contentSha256, to: 'f'.repeat(64) as Sha256 };
    assert.equal(await rig.deltas.bytes(nowhere), undefined);
    assert.deepEqual(rig.errors, []);
  });
});

describe('the disk that deltas take', () => {
  it('stays within its limit: those used longest ago go', async (t) => {
    const maker = fakeMaker(() => smallDelta(1000));
    await using rig = await openDeltaRig(await folder(t), { maker, budgetBytes: 3000, heldForMs: 1000 });
    const builds = await publishReleases(rig, 6);
    const record = (n: number) => updatePackage(builds[n]!, builds[n + 1]!);
    for (const n of [0, 1, 2]) {
      await rig.deltas.prepare([record(n)]);
      rig.clock.now += 2000;
    }
    await offersTo(rig, record(0));
    rig.clock.now += 2000;
    await rig.deltas.prepare([record(3)]);
    const left = [];
    for (const n of [0, 1, 2, 3]) {
      if ((await rig.repositories.read.deltas.find(pairOf(builds[n]!, builds[n + 1]!)))?.state === 'ready')
        left.push(n);
    }
    assert.deepEqual(left, [0, 2, 3]);
    assert.equal((await rig.deltaBlobs()).length, 3);
    assert.deepEqual(await rig.repositories.read.deltas.totals(), { count: 3, bytes: 3000 });
  });

  it('is not fought for by those that are all in use', async (t) => {
    const maker = fakeMaker(() => smallDelta(1000));
    await using rig = await openDeltaRig(await folder(t), { maker, budgetBytes: 1500, retryAfterMs: 5000 });
    const [a, b, c] = await publishReleases(rig, 3);
    assert.ok(a && b && c);
    for (let i = 0; i < 3; i++) await rig.deltas.prepare([updatePackage(a, b), updatePackage(b, c)]);
    assert.equal(maker.calls, 2);
    assert.equal((await rig.deltaBlobs()).length, 1);
    assert.deepEqual(rig.errors, []);
  });

  it('is given back: what was not used for long, what lost its bytes, what was left by a crash', async (t) => {
    const dir = await folder(t);
    await using rig = await openDeltaRig(dir, { unusedForMs: 10_000, retryAfterMs: 1000 });
    const builds = await publishReleases(rig, 5);
    const record = (n: number) => updatePackage(builds[n]!, builds[n + 1]!);
    await rig.deltas.prepare([0, 1, 2].map(record));
    const [, second] = await Promise.all([0, 1].map(async (n) => (await offersTo(rig, record(n)))[0]));
    assert.deepEqual(await rig.deltas.collect(), { deltas: 0, bytes: 0 });
    rig.clock.now += 9000;
    // The first is used again, the second loses its bytes, the third is not used, the fourth was never finished.
    await offersTo(rig, record(0));
    assert.ok(second && (await rig.blobs.remove(second.sha256)));
    const abandoned = await rig.blobs.put(randomBytes(700));
    const at = { madeAt: rig.clock.now, usedAt: rig.clock.now };
    await rig.repositories.write((set) =>
      set.deltas.put({
        ...pairOf(builds[3]!, builds[4]!),
        ...at,
        state: 'failed',
        sha256: abandoned,
        size: 700,
        fromSize: 1,
        toSize: 1,
      }),
    );
    rig.clock.now += 1001;
    const { deltas, bytes } = await rig.deltas.collect();
    assert.equal(deltas, 2);
    assert.ok(bytes > 700);
    assert.equal((await rig.deltaBlobs()).length, 1);
    assert.deepEqual((await offersTo(rig, record(0))).length, 1);
    // It can be made again.
    await rig.deltas.prepare([record(1)]);
    assert.equal((await offersTo(rig, record(1))).length, 1);
  });

  it('is given back wherever the process died', async (t) => {
    // Steps that change something: the row before the making, the row with the digest, the blob, the row that is ready.
    for (const [step, left] of [0, 0, 0, 0, 1].entries()) {
      const dir = await folder(t);
      let record: ReturnType<typeof updatePackage> | undefined;
      {
        await using rig = await openDeltaRig(dir, { maker: fakeMaker(() => smallDelta()), maxWaitMs: 20 });
        record = updatePackage(...(await two(rig)));
        let steps = 0;
        const dies = Promise.withResolvers<never>();
        dies.promise.catch(() => undefined);
        const until = <T>(work: () => Promise<T>): Promise<T> => (steps++ < step ? work() : dies.promise);
        const { repositories, blobs } = rig;
        const [write, put] = [repositories.write.bind(repositories), blobs.put.bind(blobs)];
        repositories.write = (work) => until(() => write(work));
        blobs.put = (bytes) => until(() => put(bytes));
        await rig.deltas.prepare([record]);
        while (steps < Math.min(step + 1, 4)) await new Promise((wake) => setTimeout(wake, 2));
        // What it does at its end must not help: the process is gone.
        setImmediate(() => dies.reject(new Error('the process is gone')));
      }
      await using rig = await openDeltaRig(dir, { retryAfterMs: 0 });
      rig.clock.now += 1;
      await rig.deltas.collect();
      assert.equal((await rig.deltaBlobs()).length, left, `after step ${step}`);
      assert.equal((await offersTo(rig, record)).length, left);
      await quiet(rig);
      assert.equal((await offersTo(rig, record)).length, 1, `after step ${step}`);
    }
  });

  it('is none when they are switched off: those that are there go', async (t) => {
    const dir = await folder(t);
    let record: ReturnType<typeof updatePackage> | undefined;
    {
      await using rig = await openDeltaRig(dir);
      record = updatePackage(...(await two(rig)));
      await rig.deltas.prepare([record]);
      assert.equal((await rig.deltaBlobs()).length, 1);
    }
    await using rig = await openDeltaRig(dir, { budgetBytes: 0 });
    await rig.deltas.prepare([record]);
    assert.deepEqual(await rig.deltas.offers(record, () => assert.fail('the gateway was looked at')), []);
    rig.clock.now += 1;
    assert.equal((await rig.deltas.collect()).deltas, 1);
    assert.deepEqual(await rig.deltaBlobs(), []);
  });
});

describe('a delta whose bytes are', () => {
  const damages: [string, (file: string) => Promise<void>][] = [
    ['gone', unlink],
    ['cut off', (file) => truncate(file, 10)],
    ['other bytes', (file) => writeFile(file, randomBytes(200))],
  ];
  for (const [what, damage] of damages) {
    it(`${what} is not given out, forgotten and made again`, async (t) => {
      const dir = await folder(t);
      const made = await (async () => {
        await using rig = await openDeltaRig(dir);
        const record = updatePackage(...(await two(rig)));
        await rig.deltas.prepare([record]);
        const [offer] = await offersTo(rig, record);
        assert.ok(offer);
        return { record, sha256: offer.sha256 };
      })();
      await damage(join(dir, 'blobs', made.sha256.slice(0, 2), made.sha256));
      await using rig = await openDeltaRig(dir);
      assert.equal((await offersTo(rig, made.record)).length, 1);
      assert.equal(await rig.download(made.record, made.sha256), undefined);
      assert.deepEqual(await rig.blobs.damages(), []);
      assert.deepEqual(await offersTo(rig, made.record), []);
      await quiet(rig);
      const [again] = await offersTo(rig, made.record);
      assert.equal(again?.sha256, made.sha256);
      assert.equal((await rig.download(made.record, made.sha256))?.length, again?.size);
    });
  }

  it('asked for by a package that does not need them is not given out', async (t) => {
    await using rig = await openDeltaRig(await folder(t));
    const [a, b, c] = await publishReleases(rig, 3);
    assert.ok(a && b && c);
    await rig.deltas.prepare([updatePackage(a, b)]);
    const [offer] = await offersTo(rig, updatePackage(a, b));
    assert.ok(offer);
    for (const other of [updatePackage(b, c), updatePackage(a, c), { ...updatePackage(a, b), bases: [] }]) {
      assert.equal(await rig.download(other, offer.sha256), undefined);
    }
    const [segment] = a.artifact.segments;
    assert.ok(segment);
    assert.equal(await rig.download(updatePackage(a, b), segment.sha256), undefined);
  });
});
