/** What every driver's rollout repository must do with rollouts; tasks.ts has their tasks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ArtifactName, isLeonoreError, type RolloutId, type RolloutState } from '@leonore/protocol';
import { type OpenEmpty, useDatabase } from './database.ts';
import { rollout } from './samples.ts';

export function rolloutsConform(open: OpenEmpty): void {
  describe('rollouts', () => {
    const db = useDatabase(open);
    const insert = (tenant: ReturnType<typeof db.newTenant>, more = {}) =>
      db.write((set) => set.rollouts.insert(tenant, rollout(more)));

    it('are counted from 1 for each tenant, without a gap or a double when many come at once', async () => {
      const [one, other] = [db.newTenant(), db.newTenant()];
      const ids = await Promise.all(Array.from({ length: 20 }, () => insert(one)));
      assert.deepEqual(
        ids.toSorted((a, b) => a - b),
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
      assert.equal(await insert(other), 1);
    });

    it('are given back as they were inserted', async () => {
      const tenant = db.newTenant();
      const full = rollout({
        applications: [{ name: 'svm' as ArtifactName, range: '^1' }],
        upgrade: true,
        handling: { mode: 'soft', confirm: true },
        planned: true,
        planCursor: 'cursor',
        endedAt: 9,
        state: 'failed',
        blockers: [{ gateways: 2, example: 'gw', explanation: { summary: 'no', facts: [], suggestions: [] } }],
      });
      const [first, second] = [await insert(tenant, full), await insert(tenant)];
      assert.deepEqual(await db.read.rollouts.find(tenant, first), { id: first, ...full });
      assert.deepEqual(await db.read.rollouts.find(tenant, second), { id: second, ...rollout() });
      assert.equal(await db.read.rollouts.find(tenant, 99 as RolloutId), undefined);
    });

    it('are listed newest first, by state, page by page', async () => {
      const tenant = db.newTenant();
      const states: RolloutState[] = ['running', 'paused', 'failed'];
      for (let i = 0; i < 12; i++) await insert(tenant, { state: states[i % 3] });
      const page = await db.read.rollouts.list(tenant, { limit: 5 });
      assert.deepEqual(
        page.items.map(({ id }) => id),
        [12, 11, 10, 9, 8],
      );
      await insert(tenant);
      const next = await db.read.rollouts.list(tenant, { limit: 5, cursor: page.next });
      assert.deepEqual(
        next.items.map(({ id }) => id),
        [7, 6, 5, 4, 3],
      );
      const some = await db.read.rollouts.list(tenant, { limit: 50, states: ['paused', 'failed'] });
      assert.deepEqual(
        some.items.map(({ id }) => id),
        [12, 11, 9, 8, 6, 5, 3, 2],
      );
      assert.deepEqual(await db.read.rollouts.list(tenant, { limit: 50, states: [] }), { items: [] });
      await assert.rejects(db.read.rollouts.list(tenant, { limit: 5, cursor: 'x' }), (error) =>
        isLeonoreError(error, 'request.invalid'),
      );
    });

    it('are found by state over all tenants, oldest first', async () => {
      const [one, other] = [db.newTenant(), db.newTenant()];
      await insert(one, { state: 'aborted', createdAt: 30 });
      await insert(other, { state: 'aborted', createdAt: 20 });
      await insert(one, { state: 'aborted', createdAt: 10 });
      const found = await db.read.rollouts.inStates(['aborted']);
      assert.deepEqual(
        found.map((entry) => [entry.tenant, entry.rollout.id]),
        [
          [one, 2],
          [other, 1],
          [one, 1],
        ],
      );
      assert.deepEqual(await db.read.rollouts.inStates([]), []);
    });

    it('change state only from the states named; of 20 that try at once one does', async () => {
      const tenant = db.newTenant();
      const id = await insert(tenant);
      const set = (from: RolloutState[], to: RolloutState, at: number) =>
        db.write((repositories) => repositories.rollouts.setState(tenant, id, from, to, at));
      assert.equal(await set(['paused'], 'aborted', 1), false);
      assert.equal(await set([], 'aborted', 1), false);
      const moved = await Promise.all(
        Array.from({ length: 20 }, (_, i) => set(['running', 'paused'], 'failed', 10 + i)),
      );
      assert.equal(moved.filter(Boolean).length, 1);
      const ended = await db.read.rollouts.find(tenant, id);
      assert.equal(ended?.state, 'failed');
      assert.equal(ended?.endedAt, 10 + moved.indexOf(true));
      // Taken up again: it has not ended.
      assert.equal(await set(['failed'], 'running', 50), true);
      assert.deepEqual(await db.read.rollouts.find(tenant, id), { id, ...rollout() });
    });

    it('keep how far their planning came', async () => {
      const tenant = db.newTenant();
      const id = await insert(tenant);
      const blockers = [{ gateways: 1, example: 'gw', explanation: { summary: 'no', facts: [], suggestions: [] } }];
      const plan = (planning: { planCursor?: string; planned: boolean; blockers: typeof blockers }) =>
        db.write((set) => set.rollouts.setPlanning(tenant, id, planning));
      await plan({ planCursor: 'gw-5', planned: false, blockers });
      assert.deepEqual(await db.read.rollouts.find(tenant, id), { id, ...rollout({ planCursor: 'gw-5', blockers }) });
      await plan({ planned: true, blockers: [] });
      assert.deepEqual(await db.read.rollouts.find(tenant, id), { id, ...rollout({ planned: true }) });
    });
  });
}
