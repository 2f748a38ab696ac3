import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { benchReport, benchRow, formatReport, writeReport } from './report.ts';

const push = benchRow('push: total', 's', [2.5, 2, 3], { baseline: { name: 'nginx', values: [1, 1.25, 4] }, aim: 3 });

void test('a row is the median of its runs, beside the median of its baseline', () => {
  assert.deepEqual(push, {
    name: 'push: total',
    value: 2.5,
    unit: 's',
    baseline: { name: 'nginx', value: 1.25 },
    ratio: 2,
    aim: 3,
    better: 'lower',
    runs: 3,
    spread: [2, 3],
  });
});

void test('a row without a baseline has no ratio', () => {
  const row = benchRow('memory', 'MB', [123.456789], { baseline: { name: 'nginx', values: [] } });
  assert.deepEqual([row.baseline, row.ratio, row.aim, row.value], [null, null, null, 123.5]);
});

void test('the file holds what others read: bench, machine, commit, rows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-report-'));
  try {
    const file = join(folder, 'result.json');
    await writeReport(await benchReport('provision', [push]), file);
    const read = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    assert.deepEqual(Object.keys(read), ['bench', 'machine', 'commit', 'rows']);
    assert.equal(read['bench'], 'provision');
    assert.deepEqual(read['rows'], [push]);
    assert.match(String(read['commit']), /^[0-9a-f]{40}(-dirty)?$|^unknown$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

void test('the table has a line for each row, with ratio and aim', async () => {
  const text = formatReport(
    await benchReport('provision', [push, benchRow('rate', '1/s', [10], { better: 'higher', aim: 5 })]),
  );
  const line = text.split('\n').find((candidate) => candidate.startsWith('push: total'));
  assert.match(line ?? '', /2\.5 s\s+2 \.\. 3\s+3\s+nginx 1\.25 s\s+2x\s+<= 3x/);
  assert.match(text, /rate\s+10 1\/s\s+1\s+>= 5/);
});
