/** Which bytes go over the air: by deltas, by ranges, by what is here already; and that any fault on that way is healed. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHUNK_METADATA, type DdiFeedback } from '@leonore/protocol';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { cutAfter, startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, type MadeTask, makeTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import type { AgentTuning } from './options.ts';

async function bench(tuning: AgentTuning = {}) {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const agent = startAgent(agentOptions(server, root, { tuning }));
  stack.use(agent);
  const make = (sketch: TaskSketch) => makeTask(server, work.path, sketch);
  const offer = async (made: MadeTask): Promise<DdiFeedback> => {
    server.offered = made.deployment;
    return until(`end of task ${made.deployment.id}`, () => server.closed(made.deployment.id));
  };
  /** Offers a task that must succeed, and tells what went over the air for it. */
  const run = async (sketch: TaskSketch) => {
    const made = await make(sketch);
    server.sent.length = 0;
    const report = await offer(made);
    assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
    for (const component of sketch.components ?? []) {
      for (const [name, content] of Object.entries(component.binary ?? {})) {
        const file = join(root, 'components', component.name, 'current', 'binary', name);
        assert.ok((await readFile(file)).equals(Buffer.from(content)), `${component.name}: ${name}`);
      }
    }
    const total = server.sent.reduce((sum, { bytes }) => sum + bytes, 0);
    return { made, said: report.status.details?.join('\n') ?? '', sent: [...server.sent], total };
  };
  const at = (...parts: string[]): string => join(root, ...parts);
  return { server, make, offer, run, at, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const still = { run: null } as const;
const NOISE = randomBytes(300_000);
/** The same 300 KB of noise but for a few bytes. */
function noise(change: string): Buffer {
  const bytes = Buffer.from(NOISE);
  bytes.write(change, 150_000);
  return bytes;
}
const app = (version: string, more: Partial<ArtifactSketch> = {}): ArtifactSketch => ({
  name: 'svm',
  version,
  ...still,
  binary: { noise: noise(version), 'version.txt': `${version}\n` },
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  ...more,
});
/** `bytes=FROM-TO` of a component's segment. */
function rangeOf({ manifest, headerSize }: MadeTask, first: string, last = first): string {
  const of = (name: string) => manifest.components.find((component) => component.name === name)?.segment;
  const [from, to] = [of(first), of(last)];
  assert.ok(from && to);
  return `bytes=${headerSize + from.offset}-${headerSize + to.offset + to.length - 1}`;
}
const ranges = (sent: readonly { range: string | undefined }[]) => sent.map(({ range }) => range);

void test('where nothing is here yet the package comes whole, in one answer', async () => {
  await using gateway = await bench();
  const { made, sent, said } = await gateway.run({ id: 1, components: [app('1.0.0'), { name: 'other', ...still }] });
  assert.deepEqual(sent, [{ path: made.path, range: undefined, bytes: made.bytes.length }]);
  assert.equal(said, 'svm 1.0.0 installed\nother 1.0.0 installed');
});

void test('a delta: only the header and the delta go over the air, and the report says what that saved', async () => {
  for (const encoding of ['zstd', 'gzip'] as const) {
    await using gateway = await bench();
    const first = await gateway.run({ id: 1, components: [app('1.0.0')], encoding });
    const deltaFrom = { tar: first.made.tars['svm'] ?? Buffer.alloc(0) };
    const { made, sent, said, total } = await gateway.run({
      id: 2,
      components: [app('1.0.1', { deltaFrom })],
      encoding,
    });
    const [delta] = made.deltas;
    assert.ok(delta);
    assert.deepEqual(
      sent.map(({ range, bytes }) => [range, bytes]),
      [
        [`bytes=0-${made.headerSize - 1}`, made.headerSize],
        [undefined, delta.size],
      ],
    );
    assert.ok(total < 2000);
    assert.match(said, /^svm updated from 1\.0\.0 to 1\.0\.1; \d+ bytes instead of 30\d KB over the air$/);
    // What a delta has made is as good a base as any.
    const tar = made.tars['svm'] ?? Buffer.alloc(0);
    const next = await gateway.run({
      id: 3,
      components: [app('1.0.2', { replaces: '1.0.1', deltaFrom: { tar } })],
      encoding,
    });
    assert.ok(next.total < 2000);
    await until('nothing is left', async () => (await readdir(gateway.at('downloads'))).length === 0);
  }
});

void test('the same content under a higher version: only the header goes over the air', async () => {
  await using gateway = await bench();
  const same = { binary: { noise: noise('same'), 'version.txt': 'x' } };
  await gateway.run({ id: 1, components: [app('1.0.0', same)] });
  const { made, sent, said } = await gateway.run({ id: 2, components: [app('2.0.0', same)] });
  assert.deepEqual(ranges(sent), [`bytes=0-${made.headerSize - 1}`]);
  assert.match(said, /updated from 1\.0\.0 to 2\.0\.0; nothing instead of 30\d KB over the air/);
});

void test('what cannot be skipped comes in as few ranges as there are gaps', async () => {
  await using gateway = await bench();
  const more = (name: string): ArtifactSketch => ({ name, ...still, binary: { noise: randomBytes(20_000) } });
  const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
  const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0) };
  const components = [more('a'), more('b'), app('1.0.1', { deltaFrom }), more('c')];
  const { made, sent } = await gateway.run({ id: 2, components });
  assert.deepEqual(ranges(sent), [
    `bytes=0-${made.headerSize - 1}`,
    undefined,
    rangeOf(made, 'a', 'b'),
    rangeOf(made, 'c'),
  ]);
});

void test('a delta that cannot be had or is of no use: the segment comes instead, and nothing fails', async () => {
  const flip = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    const middle = copy.length >> 1;
    copy[middle] = (copy[middle] ?? 0) ^ 0x55;
    return copy;
  };
  const other = Buffer.from(NOISE.subarray(0, 5120));
  type DeltaFrom = NonNullable<ArtifactSketch['deltaFrom']>;
  const cases: Readonly<Record<string, { delta: Partial<DeltaFrom>; asked: boolean }>> = {
    'not there': { delta: { offer: { href: '/packages/none' } }, asked: true },
    'other bytes': { delta: { offer: { sha256: '1'.repeat(64) as never } }, asked: true },
    'another length': { delta: { offer: { size: 7 } }, asked: true },
    damaged: { delta: { damage: flip }, asked: true },
    'cut off': { delta: { damage: (delta) => delta.subarray(0, -9) }, asked: true },
    'no delta at all': { delta: { damage: () => Buffer.from('no delta at all') }, asked: true },
    'makes more than it says': { delta: { offer: { toSize: 1000 } }, asked: true },
    'from what is not here': { delta: { offer: { from: '2'.repeat(64) as never } }, asked: false },
    'from a tar of another length': { delta: { offer: { fromSize: 99 } }, asked: false },
    'of another component': { delta: { offer: { name: 'else' as never } }, asked: false },
    'larger than the segment': { delta: { offer: { size: 2 ** 40 } }, asked: false },
    'from other content that is here': { delta: { tar: other }, asked: false },
  };
  for (const [what, { delta, asked }] of Object.entries(cases)) {
    await using gateway = await bench();
    const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
    const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0), ...delta };
    const { made, sent, said } = await gateway.run({ id: 2, components: [app('1.0.1', { deltaFrom })] });
    assert.equal(sent.at(-1)?.range, rangeOf(made, 'svm'), what);
    assert.equal(said, 'svm updated from 1.0.0 to 1.0.1', what);
    const askedFor = gateway.server.requests.filter(
      ({ path }) => path.startsWith('/packages/') && path !== made.path && path !== before.path,
    );
    assert.equal(askedFor.length > 0, asked, what);
  }
});

void test('offers that cannot be read are no reason to refuse the task', async () => {
  await using gateway = await bench();
  await gateway.run({ id: 1, components: [app('1.0.0')] });
  const made = await gateway.make({ id: 2, components: [app('1.0.1')] });
  made.deployment.deployment.chunks[0]?.metadata?.push({ key: CHUNK_METADATA.deltas, value: '[{"kind":' });
  assert.equal((await gateway.offer(made)).status.result.finished, 'success');
});

void test('files that were changed, or a version without a layout: full, before a byte of the delta is asked for', async () => {
  for (const spoil of ['noise', 'gone', 'layout', 'foreign layout'] as const) {
    await using gateway = await bench();
    const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
    const version = gateway.at('components/svm/1.0.0');
    if (spoil === 'noise') await writeFile(join(version, 'binary/noise'), noise('changed'));
    if (spoil === 'gone') await rm(join(version, 'binary/noise'));
    if (spoil === 'layout') await rm(join(version, 'layout.json'));
    if (spoil === 'foreign layout') {
      const entry = { type: 'file', path: '../../../../../../../etc/passwd', mode: 0o644, size: 10 };
      await writeFile(join(version, 'layout.json'), JSON.stringify([entry]));
    }
    const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0) };
    const { made, sent } = await gateway.run({ id: 2, components: [app('1.0.1', { deltaFrom })] });
    assert.deepEqual(ranges(sent), [`bytes=0-${made.headerSize - 1}`, rangeOf(made, 'svm')], spoil);
  }
});

void test('files that the application has put beside its own do not matter', async () => {
  await using gateway = await bench();
  const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
  await writeFile(gateway.at('components/svm/1.0.0/binary/cache.db'), 'x');
  const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0) };
  assert.ok((await gateway.run({ id: 2, components: [app('1.0.1', { deltaFrom })] })).total < 2000);
});

void test('no delta where it would take too much memory', async () => {
  for (const memory of [
    { total: 2_000_000, available: 2_000_000 },
    { total: 1e10, available: 1_000_000 },
  ]) {
    await using gateway = await bench({ memory: () => memory });
    const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
    const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0) };
    const { made, sent } = await gateway.run({ id: 2, components: [app('1.0.1', { deltaFrom })] });
    assert.deepEqual(ranges(sent), [`bytes=0-${made.headerSize - 1}`, rangeOf(made, 'svm')]);
  }
});

void test('what a superseded, a canceled or a failed task has brought is not loaded again; after a success nothing stays', async () => {
  const parts = ['a', 'b', 'c'].map(
    (name): ArtifactSketch => ({ name, ...still, binary: { noise: randomBytes(30_000) } }),
  );
  const [a, b, c] = parts as [ArtifactSketch, ArtifactSketch, ArtifactSketch];
  const half = 45_000;
  for (const end of ['superseded', 'canceled', 'failed'] as const) {
    await using gateway = await bench();
    const { server } = gateway;
    const control = { install: 'exit 3' };
    const first = await gateway.make({ id: 1, components: end === 'failed' ? [a, b, { ...c, control }] : [a, b, c] });
    const whole = server.packages.get(first.path);
    assert.ok(whole);
    if (end === 'failed') {
      assert.equal((await gateway.offer(first)).status.result.finished, 'failure');
    } else {
      server.intercept = (request, response) => {
        if (request.path !== first.path) return false;
        response.writeHead(200, { 'content-length': whole.bytes.length, etag: whole.etag ?? '' });
        response.write(whole.bytes.subarray(0, half));
        return true;
      };
      server.offered = first.deployment;
      await until('half of it', async () => {
        const sizes = await Promise.all(
          (await readdir(gateway.at('downloads'))).map(
            async (name) => (await readFile(gateway.at('downloads', name)).catch(() => '')).length,
          ),
        );
        return sizes.reduce((sum, size) => sum + size, 0) >= half;
      });
      if (end === 'canceled') server.canceling = '1';
      if (end === 'canceled') await until('the answer', () => server.cancelReports[0]);
      server.intercept = () => false;
    }
    const components = [{ name: 'other', ...still }, b, a, c];
    const { made, total } = await gateway.run({ id: 2, components });
    const all = made.bytes.length;
    if (end === 'failed') assert.ok(total < all - 60_000, `${total} of ${all}`);
    else assert.ok(total < all - half + 2 * first.headerSize + 1000 && total > all - 2 * half, `${total} of ${all}`);
    await until('nothing is left', async () => (await readdir(gateway.at('downloads'))).length === 0);
  }
});

void test('where space is short, what former tasks have left is deleted first', async () => {
  let free = 1e12;
  await using gateway = await bench({ freeBytes: async () => free });
  const { server } = gateway;
  const stale = gateway.at('downloads', `${'f'.repeat(64)}.part`);
  const first = await gateway.make({ id: 1, components: [app('1.0.0')] });
  server.intercept = (request) => request.path === first.path;
  server.offered = first.deployment;
  await until('it downloads', () => server.requests.some(({ path }) => path === first.path));
  await writeFile(stale, 'x'.repeat(1000));
  server.intercept = () => false;
  free = 1000;
  const second = await gateway.make({ id: 2, components: [app('1.0.0')] });
  const report = await gateway.offer(second);
  assert.equal(report.status.execution, 'rejected');
  assert.match(report.status.details?.join('\n') ?? '', /not enough disk space/);
  assert.deepEqual(await readdir(gateway.at('downloads')), []);
});

void test('a server that knows no ranges, and one that breaks each answer off, bring the same', async () => {
  for (const server of ['no ranges', 'breaks'] as const) {
    await using gateway = await bench();
    const { made: before } = await gateway.run({ id: 1, components: [app('1.0.0')] });
    gateway.server.intercept = (request, response) => {
      const served = gateway.server.packages.get(request.path);
      if (!served) return false;
      if (server === 'no ranges') {
        response.writeHead(200, { 'content-length': served.bytes.length, etag: served.etag ?? '' });
        response.end(served.bytes);
      } else {
        cutAfter(gateway.server, request, response, 40_000);
      }
      return true;
    };
    const deltaFrom = { tar: before.tars['svm'] ?? Buffer.alloc(0) };
    const more = ['a', 'b'].map(
      (name): ArtifactSketch => ({ name, ...still, binary: { noise: randomBytes(100_000) } }),
    );
    const components = [...more, app('1.0.1', { deltaFrom }), { name: 'c', ...still }];
    const made = await gateway.make({ id: 2, components });
    const report = await gateway.offer(made);
    assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
    for (const { name, binary } of components) {
      if (binary?.['noise']) {
        const file = gateway.at('components', name, 'current/binary/noise');
        assert.ok((await readFile(file)).equals(Buffer.from(binary['noise'])));
      }
    }
  }
});

void test('a segment that is not what the manifest says is loaded anew by itself, once', async () => {
  await using gateway = await bench();
  await gateway.run({ id: 1, components: [{ name: 'there', ...still }] });
  const more = (name: string): ArtifactSketch => ({ name, ...still, binary: { noise: randomBytes(50_000) } });
  const made = await gateway.make({ id: 2, components: [more('a'), more('b'), more('c')] });
  const segment = made.manifest.components[1]?.segment;
  assert.ok(segment);
  const served = gateway.server.packages.get(made.path);
  assert.ok(served);
  const damaged = Buffer.from(made.bytes);
  damaged[made.headerSize + segment.offset + 100] = (damaged[made.headerSize + segment.offset + 100] ?? 0) ^ 1;
  gateway.server.packages.set(made.path, { ...served, bytes: damaged });
  gateway.server.sent.length = 0;
  gateway.server.intercept = (request) => {
    if (request.path === made.path && gateway.server.sent.length === 2) {
      gateway.server.packages.set(made.path, { ...served, bytes: made.bytes });
    }
    return false;
  };
  const report = await gateway.offer(made);
  assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
  assert.deepEqual(ranges(gateway.server.sent), [
    `bytes=0-${made.headerSize - 1}`,
    rangeOf(made, 'a', 'c'),
    rangeOf(made, 'b', 'c'),
  ]);
});
