/** A node that is killed while it composes leaves whole packages, all that it told of, and nothing else. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readPackageHeader } from '@leonore/app-package';
import { DEFAULT_TENANT, type PackageId } from '@leonore/protocol';
import type { PackageRecord } from '../repositories/mod.ts';
import { createArchiveFormats, createByteCache, createPackageBuilder, type PackageBuilder } from './mod.ts';
import { openStores, publish, sha256Of } from './testing/builds.ts';

const SCRIPT = fileURLToPath(new URL('testing/compose-until-killed.ts', import.meta.url));
const ROUNDS = 3;

/** Ids of the packages that it told of before it was killed, at least so many. */
async function composeAndKill(dir: string, first: number, atLeast: number): Promise<PackageId[]> {
  const child = spawn(process.execPath, [SCRIPT, dir, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: PackageId[] = [];
  const enough = Promise.withResolvers<void>();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => told.push(line as PackageId) === atLeast && enough.resolve());
  const ended = once(child, 'exit');
  const read = once(lines, 'close');
  try {
    await Promise.race([
      enough.promise,
      ended.then(([code]) => assert.fail(`it ended by itself, with ${String(code)}`)),
    ]);
    // Anywhere between two commits, or in one.
    await sleep(Math.random() * 10);
  } finally {
    child.kill('SIGKILL');
  }
  await Promise.all([ended, read]);
  return told;
}

async function checkWhole(builder: PackageBuilder, record: PackageRecord): Promise<void> {
  const { summary, manifest } = record;
  const bytes = Buffer.concat(await Array.fromAsync(builder.read(record)));
  assert.equal(bytes.length, summary.size);
  assert.equal(sha256Of(bytes.subarray(0, summary.headerSize)), summary.sha256);
  assert.ok(summary.encoding);
  const place = { encoding: summary.encoding, headerSize: summary.headerSize, headerSha256: summary.sha256 };
  assert.deepEqual(await readPackageHeader(Readable.from([bytes.subarray(0, summary.headerSize)]), place), manifest);
  for (const { segment } of manifest.components) {
    const start = summary.headerSize + segment.offset;
    assert.equal(sha256Of(bytes.subarray(start, start + segment.length)), segment.sha256);
  }
}

it('whenever it is killed, every package there is whole and no byte lies about', { timeout: 120_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-killed-builder-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const segments = new Set<string>();
  {
    await using stores = await openStores(dir);
    for (const name of ['lib', 'svm', 'app'])
      for (const { sha256 } of (await publish(stores, name, '1.0.0')).segments) segments.add(sha256);
  }
  const told: PackageId[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    told.push(...(await composeAndKill(dir, round * 100_000, 20 + round * 7)));
    await using stores = await openStores(dir);
    const cache = createByteCache({ maxBytes: 0, maxItemBytes: 0 });
    const builder = createPackageBuilder({ ...stores, cache, now: Date.now, formats: createArchiveFormats() });
    const there = new Set<PackageId>();
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await builder.list(DEFAULT_TENANT, { limit: 500, cursor });
      for (const { id } of page.items) {
        there.add(id);
        await checkWhole(builder, await builder.find(DEFAULT_TENANT, id));
      }
      cursor = page.next;
    }
    for (const id of told) assert.ok(there.has(id), `${id} was told of`);
    const blobs = await Array.fromAsync(stores.blobs.list());
    assert.deepEqual(blobs.map(({ sha256 }) => sha256 as string).toSorted(), [...segments].toSorted());
    assert.deepEqual(await readdir(join(dir, 'blobs', 'tmp')), []);
  }
});
