/** Why a task was rolled back, as the operator sees it: from the agent over the wire into the node's history. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startSite, wordsOf } from '@leonore/testkit';
import { service } from './applications.ts';

for (const strategy of ['pull', 'push'] as const) {
  describe(`a version that does not get well (${strategy})`, () => {
    it('is told of with its step, exit code, last words, steps and what runs now', async () => {
      await using site = await startSite();
      await site.agent('gw-1', { strategy });
      await site.publish(service('meter', '1.0.0'));
      const wanted = { applications: [{ name: 'meter' }], selector: '*', strategy, upgrade: true };
      await site.ended(await site.client.rollouts.create(wanted));
      const run = { restart: 'always', healthTimeoutSeconds: 1 };
      await site.publish(service('meter', '1.1.0', { run }, { health: 'echo no sensor at /dev/ttyS0; exit 5' }));
      const { tasks } = await site.ended(await site.client.rollouts.create(wanted));
      const task = await site.client.task(tasks[0]!.id);
      assert.equal(task.state, 'failed', wordsOf(tasks));
      const outcome = task.transitions?.at(-1)?.outcome;
      assert.ok(outcome?.failure, wordsOf(tasks));
      assert.deepEqual(
        [outcome.failure.label, outcome.failure.exitCode, outcome.failure.output[0]],
        ['check the health of meter 1.1.0', 5, 'no sensor at /dev/ttyS0'],
      );
      assert.deepEqual([outcome.attempts, outcome.rolledBack, outcome.download?.interruptions], [1, { faults: [] }, 0]);
      assert.deepEqual(
        outcome.running.map(({ name, version }) => `${name} ${version}`),
        ['meter 1.0.0'],
      );
      assert.equal(outcome.steps.at(-1)?.label, outcome.failure.label);
      const progress = task.transitions?.flatMap((step) => step.progress ?? []) ?? [];
      assert.ok(progress.length > 3);
      assert.ok(progress.every(({ count, of }) => count >= 1 && count <= of && of === progress[0]?.of));
    });
  });
}
