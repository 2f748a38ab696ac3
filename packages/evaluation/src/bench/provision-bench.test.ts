import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_TASKS, type RolloutId } from '@leonore/protocol';
import { benchProvision, findFault } from './provision-bench.ts';

const artifact = { name: 'svm', version: '1.0.0' };
const gateway = (id: string, version = '1.0.0') => ({
  id,
  installed: [{ name: 'svm', version, state: 'installed', requested: true }] as never,
  lastFault: undefined,
});
const rollout = { id: 1 as RolloutId, state: 'succeeded' as const, counts: { ...NO_TASKS, total: 2, succeeded: 2 } };
const ok = { outcome: 'succeeded' as const };
const both = [gateway('a'), gateway('b')];

void test('a run counts when everybody agrees that every gateway has the version', () => {
  assert.equal(findFault(both, [ok, ok], artifact, rollout), undefined);
});

void test('a run does not count when a gateway failed, is missing, has another version, or the node counted otherwise', () => {
  const failed = { outcome: 'failed' as const, reason: 'a wrong byte' };
  assert.match(findFault(both, [ok, failed], artifact, rollout) ?? '', /1 of 2 .* a wrong byte/);
  assert.match(findFault(both, [ok], artifact, rollout) ?? '', /1 tasks ended for 2/);
  assert.match(findFault(both, [ok, ok, ok], artifact, rollout) ?? '', /3 tasks ended for 2/);
  assert.match(findFault([gateway('a'), gateway('b', '0.9.0')], [ok, ok], artifact, rollout) ?? '', /b has no svm 1/);
  const counts = { ...rollout.counts, succeeded: 1, failed: 1 };
  assert.match(findFault(both, [ok, ok], artifact, { ...rollout, counts }) ?? '', /rollout 1 is succeeded with 1 of 2/);
  assert.match(findFault(both, [ok, ok], artifact, { ...rollout, state: 'failed' }) ?? '', /rollout 1 is failed/);
});

void test('a node in its own process provisions a small fleet by push and by pull', { timeout: 120_000 }, async () => {
  const lines: string[] = [];
  const result = await benchProvision(
    {
      gateways: 5,
      runs: 2,
      pollIntervalMs: 100,
      waitSeconds: 0,
      payloadBytes: 20_000,
      seed: 1,
      say: (line) => lines.push(line),
      floor: false,
    },
    AbortSignal.timeout(100_000),
  );
  assert.deepEqual(
    result.strategies.map(({ strategy, runs }) => [strategy, runs.map(({ completionsMs }) => completionsMs.length)]),
    [
      ['push', [5, 5]],
      ['pull', [5, 5]],
    ],
  );
  for (const { strategy, runs } of result.strategies) {
    // By push: download, and three reports. By pull: a poll and the task document come before. A push that was lost costs more.
    const least = strategy === 'push' ? 4 : 6;
    for (const { requestsPerGateway: made } of runs)
      assert.ok(made >= least && made < least + 2, `${strategy}: ${made}`);
  }
  assert.ok(result.nodeUsage.rssBytes > 0 && result.nodeUsage.cpuSeconds > 0);
  assert.ok(lines.some((line) => line.startsWith('pull run 2 of 2')));
});
