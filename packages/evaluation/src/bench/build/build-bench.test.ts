import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyFolder, makePayloadFolder } from './source-folders.ts';
import { benchBuild } from './build-bench.ts';
import { deltaCost } from './delta-cost.ts';

const LIMITS = { runs: 1, packages: 5, payloadBytes: 300_000, largeBytes: 600_000, clients: 4, releases: false };

void test('packages are composed, served and measured; the blob store does not grow', {
  timeout: 120_000,
}, async () => {
  const lines: string[] = [];
  const signal = AbortSignal.timeout(100_000);
  const { rows } = await benchBuild({ ...LIMITS, say: (line) => lines.push(line), signal });
  const value = (part: string) => rows.find(({ name }) => name.includes(part))?.value;
  assert.equal(value('blob store grows'), 0);
  assert.ok((value('one by one') ?? 0) > 0 && (value('all at once') ?? 0) > 0);
  assert.ok((value('until the last has all') ?? 0) > 0);
  assert.equal(rows.filter(({ name }) => name.startsWith('peak memory to')).length, 4);
  assert.ok(lines.includes('served 0 MB to 4 clients'), lines.join('\n'));
});

void test('a delta is measured beside the tool, when the tool is there', { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-bench-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const older = await makePayloadFolder(join(folder, 'a'), { name: 'a', version: '1.0.0' }, 100_000);
  const newer = await copyFolder(join(folder, 'b'), { name: 'a', version: '1.1.0' }, join(older, 'binary'));
  const bench = { ...LIMITS, folder, say: () => undefined, signal: AbortSignal.timeout(100_000) };
  try {
    const rows = await deltaCost(bench, 'a', older, newer);
    assert.deepEqual(
      rows.map(({ unit }) => unit),
      ['MB', 'MB', 's', 's'],
    );
    assert.ok((rows[0]?.ratio ?? 1) < 0.01, 'the same content costs next to nothing');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.skip('zstd is not installed; on Debian: apt-get install zstd');
  }
});
