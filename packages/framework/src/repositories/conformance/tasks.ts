/** What every driver's rollout repository must do with tasks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ACTIVE_STATES,
  NO_TASKS,
  type PackageId,
  type TaskId,
  type TaskState,
  TERMINAL_STATES,
  type Tenant,
  taskStateSchema,
} from '@leonore/protocol';
import type { NewTask, TaskChange, TaskRecord } from '../contract.ts';
import { type OpenEmpty, useDatabase } from './database.ts';
import { gatewayId, rollout, task } from './samples.ts';

export function tasksConform(open: OpenEmpty): void {
  describe('tasks', () => {
    const db = useDatabase(open);
    const newRollout = (tenant: Tenant) => db.write((set) => set.rollouts.insert(tenant, rollout()));
    const insert = (tenant: Tenant, ...tasks: NewTask[]) => db.write((set) => set.rollouts.insertTasks(tenant, tasks));
    const move = (tenant: Tenant, id: TaskId, from: TaskState, to: TaskState, at = 2000, change: TaskChange = {}) =>
      db.write((set) => set.rollouts.transition(tenant, id, from, to, at, change));
    const one = async (tenant: Tenant, more: Partial<NewTask> = {}): Promise<TaskRecord> => {
      const [made] = await insert(tenant, task(await newRollout(tenant), 'gw', more));
      assert.ok(made);
      return made;
    };

    it('are given back as they were inserted, with their first transition', async () => {
      const tenant = db.newTenant();
      const wanted = task(await newRollout(tenant), 'gw', {
        deliveredBy: 'push',
        package: 'p-1' as PackageId,
        canceling: true,
        condition: 'unconfirmed',
        deadlineAt: 3000,
        message: 'made',
      });
      const [made] = await insert(tenant, wanted);
      assert.ok(made);
      assert.deepEqual(made, { id: made.id, ...wanted });
      assert.deepEqual(await db.read.rollouts.findTask(tenant, made.id), made);
      assert.deepEqual(await db.read.rollouts.transitions(tenant, made.id), [
        { state: 'pending', at: 1000, messages: ['made'] },
      ]);
      assert.equal(await db.read.rollouts.findTask(tenant, 2_000_000_000 as TaskId), undefined);
    });

    it('of a gateway: the last one that was installed is no longer one that was only downloaded', async () => {
      const tenant = db.newTenant();
      const packaged = { package: 'p-1' as PackageId };
      const installed = async () => (await db.read.rollouts.lastInstalledTask(tenant, gatewayId('gw')))?.id;
      const [first, second] = [await one(tenant, packaged), await one(tenant, packaged)];
      assert.equal(await installed(), undefined);
      await move(tenant, first.id, 'pending', 'succeeded');
      await move(tenant, second.id, 'pending', 'succeeded', 2000, { condition: 'downloaded' });
      await move(tenant, (await one(tenant)).id, 'pending', 'succeeded');
      await move(tenant, (await one(tenant, packaged)).id, 'pending', 'failed');
      assert.equal(await installed(), first.id);
      const settle = () => db.write((set) => set.rollouts.settleDownloaded(tenant, second.id, 3000, ['said', 'later']));
      assert.deepEqual(await Promise.all([settle(), settle(), settle()]), [true, false, false]);
      assert.equal(await installed(), second.id);
      const { condition, state, message, endedAt } = (await db.read.rollouts.findTask(tenant, second.id)) ?? {};
      assert.deepEqual([condition, state, message, endedAt], [undefined, 'succeeded', 'later', 2000]);
      assert.deepEqual((await db.read.rollouts.transitions(tenant, second.id)).at(-1), {
        state: 'succeeded',
        at: 3000,
        messages: ['said', 'later'],
      });
      const other = db.newTenant();
      assert.equal(await db.write((set) => set.rollouts.settleDownloaded(other, second.id, 1, [])), false);
    });

    it('are at most one active for each gateway and rollout: others are left out', async () => {
      const tenant = db.newTenant();
      const [first, second] = [await newRollout(tenant), await newRollout(tenant)];
      const made = await insert(tenant, task(first, 'a'), task(first, 'a'), task(first, 'b'), task(second, 'a'));
      assert.deepEqual(
        made.map(({ rollout, gateway }) => [rollout, gateway]),
        [
          [first, 'a'],
          [first, 'b'],
          [second, 'a'],
        ],
      );
      const again = await insert(tenant, task(first, 'b'), task(first, 'c'));
      assert.deepEqual(
        again.map(({ gateway }) => gateway),
        ['c'],
      );
      await move(tenant, made[1]!.id, 'pending', 'canceled');
      assert.equal((await insert(tenant, task(first, 'b'))).length, 1);
      // Those that have ended at once do not count as active.
      const ended = task(first, 'a', { state: 'succeeded', endedAt: 1000 });
      assert.equal((await insert(tenant, ended, ended)).length, 2);
    });

    it('are made once when two plan the same gateways at the same time', async () => {
      const tenant = db.newTenant();
      const id = await newRollout(tenant);
      const wanted = Array.from({ length: 300 }, (_, i) => task(id, `gw-${i}`));
      const made = await Promise.all([insert(tenant, ...wanted), insert(tenant, ...wanted.toReversed())]);
      assert.equal(made.flat().length, 300);
      assert.equal((await db.read.rollouts.counts(tenant, id)).pending, 300);
    });

    it('are made in bulk with rising ids and one transition each', async () => {
      const tenant = db.newTenant();
      const id = await newRollout(tenant);
      const made = await insert(tenant, ...Array.from({ length: 1100 }, (_, i) => task(id, `gw-${i}`)));
      assert.equal(made.length, 1100);
      assert.ok(made.every((record, i) => i === 0 || record.id > made[i - 1]!.id));
      assert.ok(made.every((record) => Number.isInteger(record.id)));
      assert.equal((await db.read.rollouts.transitions(tenant, made[1099]!.id)).length, 1);
    });

    it('move from exactly the state they are in: of 50 at once one moves', async () => {
      const tenant = db.newTenant();
      const { id } = await one(tenant);
      const moved = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          move(tenant, id, 'pending', i % 2 === 0 ? 'offered' : 'canceled', 2000 + i, { messages: [`try ${i}`] }),
        ),
      );
      const winner = moved.findIndex((record) => record !== undefined);
      assert.equal(moved.filter((record) => record !== undefined).length, 1);
      assert.deepEqual(await db.read.rollouts.findTask(tenant, id), moved[winner]);
      const history = await db.read.rollouts.transitions(tenant, id);
      assert.deepEqual(history.slice(1), [
        { state: winner % 2 === 0 ? 'offered' : 'canceled', at: 2000 + winner, messages: [`try ${winner}`] },
      ]);
    });

    it('keep their whole history, notes included', async () => {
      const tenant = db.newTenant();
      const { id } = await one(tenant, { deadlineAt: 1500 });
      await move(tenant, id, 'pending', 'offered', 2000, { deliveredBy: 'pull', deadlineAt: 5000 });
      const noted = await move(tenant, id, 'offered', 'offered', 2100, {
        messages: ['10 %', '20 % \0'],
        facts: { progress: { count: 1, of: 3 } },
        canceling: true,
      });
      const expected = {
        ...noted,
        state: 'offered',
        updatedAt: 2100,
        deliveredBy: 'pull',
        deadlineAt: 5000,
        canceling: true,
        message: '20 % \uFFFD',
      };
      assert.deepEqual(noted, expected);
      await move(tenant, id, 'offered', 'installing', 2200, { package: 'p-2' as PackageId, classKey: 'other' });
      const ended = await move(tenant, id, 'installing', 'succeeded', 2300, { messages: [] });
      assert.equal(ended?.deadlineAt, undefined);
      assert.equal(ended?.endedAt, 2300);
      assert.equal(ended?.message, '20 % \uFFFD');
      assert.deepEqual([ended?.package, ended?.classKey], ['p-2', 'other']);
      assert.deepEqual(await db.read.rollouts.transitions(tenant, id), [
        { state: 'pending', at: 1000, messages: [] },
        { state: 'offered', at: 2000, messages: [] },
        { state: 'offered', at: 2100, messages: ['10 %', '20 % \0'], progress: { count: 1, of: 3 } },
        { state: 'installing', at: 2200, messages: [] },
        { state: 'succeeded', at: 2300, messages: [] },
      ]);
    });

    it('stand once they have ended, whatever comes after', async () => {
      const tenant = db.newTenant();
      for (const end of TERMINAL_STATES) {
        const { id } = await one(tenant);
        const ended = await move(tenant, id, 'pending', end, 2000, { messages: ['over'] });
        assert.equal(ended?.state, end);
        for (const to of taskStateSchema.options) {
          assert.equal(await move(tenant, id, end, to, 3000, { messages: ['late'], canceling: true }), undefined);
          assert.equal(await move(tenant, id, 'pending', to, 3000, { messages: ['late'] }), undefined);
        }
        assert.deepEqual(await db.read.rollouts.findTask(tenant, id), ended);
        assert.equal((await db.read.rollouts.transitions(tenant, id)).length, 2);
      }
    });

    it('of a gateway: the active ones oldest first, the last in any state', async () => {
      const tenant = db.newTenant();
      const made: TaskRecord[] = [];
      for (let i = 0; i < 4; i++) made.push(await one(tenant));
      await move(tenant, made[1]!.id, 'pending', 'failed');
      const last = (await move(tenant, made[3]!.id, 'pending', 'succeeded'))!;
      const active = await db.read.rollouts.activeTasks(tenant, gatewayId('gw'));
      assert.deepEqual(
        active.map(({ id }) => id),
        [made[0]!.id, made[2]!.id],
      );
      assert.deepEqual(await db.read.rollouts.lastTask(tenant, gatewayId('gw')), last);
      assert.equal(await db.read.rollouts.lastTask(tenant, gatewayId('other')), undefined);
      assert.deepEqual(await db.read.rollouts.activeTasks(tenant, gatewayId('other')), []);
    });

    it('are counted by state', async () => {
      const tenant = db.newTenant();
      const id = await newRollout(tenant);
      const { blocked: _, ...none } = NO_TASKS;
      assert.deepEqual(await db.read.rollouts.counts(tenant, id), none);
      assert.equal(await db.read.rollouts.hasActiveTasks(tenant, id), false);
      const made = await insert(tenant, task(id, 'a'), task(id, 'b'), task(id, 'c'));
      await move(tenant, made[0]!.id, 'pending', 'offered');
      await move(tenant, made[1]!.id, 'pending', 'failed');
      assert.deepEqual(await db.read.rollouts.counts(tenant, id), {
        ...none,
        total: 3,
        pending: 1,
        offered: 1,
        failed: 1,
      });
      assert.equal(await db.read.rollouts.hasActiveTasks(tenant, id), true);
      await move(tenant, made[0]!.id, 'offered', 'succeeded');
      await move(tenant, made[2]!.id, 'pending', 'rejected');
      assert.equal(await db.read.rollouts.hasActiveTasks(tenant, id), false);
    });

    it('tell which gateways a rollout serves already', async () => {
      const tenant = db.newTenant();
      const [id, other] = [await newRollout(tenant), await newRollout(tenant)];
      const [a] = await insert(tenant, task(id, 'a'), task(id, 'b'), task(other, 'c'));
      await move(tenant, a!.id, 'pending', 'failed');
      const among = ['a', 'b', 'c', 'd'].map(gatewayId);
      const served = (states: readonly TaskState[]) => db.read.rollouts.gatewaysWithTask(tenant, id, among, states);
      assert.deepEqual(await served(ACTIVE_STATES), new Set(['b']));
      assert.deepEqual(await served(['failed', 'pending']), new Set(['a', 'b']));
      assert.deepEqual(await served([]), new Set());
      assert.deepEqual(await db.read.rollouts.gatewaysWithTask(tenant, id, [], ACTIVE_STATES), new Set());
    });

    it('are listed by rollout oldest first, by gateway newest first, by state, in stable pages', async () => {
      const tenant = db.newTenant();
      const rollouts = [];
      for (let i = 0; i < 6; i++) rollouts.push(await newRollout(tenant));
      const made = await insert(
        tenant,
        ...rollouts.flatMap((id) => ['a', 'b', 'c'].map((gateway) => task(id, gateway))),
      );
      await move(tenant, made[3]!.id, 'pending', 'failed');
      const list = db.read.rollouts.listTasks;
      const ids = (tasks: readonly TaskRecord[]) => tasks.map(({ id }) => made.findIndex((known) => known.id === id));

      const ofRollout = await list(tenant, { rollout: rollouts[1]!, limit: 2 });
      assert.deepEqual(ids(ofRollout.items), [3, 4]);
      const rest = await list(tenant, { rollout: rollouts[1]!, limit: 2, cursor: ofRollout.next });
      assert.deepEqual([ids(rest.items), rest.next], [[5], undefined]);

      const ofGateway = await list(tenant, { gateway: gatewayId('a'), limit: 4 });
      assert.deepEqual(ids(ofGateway.items), [15, 12, 9, 6]);
      await insert(tenant, task(await newRollout(tenant), 'a'));
      const older = await list(tenant, { gateway: gatewayId('a'), limit: 4, cursor: ofGateway.next });
      assert.deepEqual(ids(older.items), [3, 0]);

      const failed = await list(tenant, { gateway: gatewayId('a'), states: ['failed'], limit: 4 });
      assert.deepEqual(ids(failed.items), [3]);
      const both = await list(tenant, { gateway: gatewayId('b'), rollout: rollouts[2]!, limit: 4 });
      assert.deepEqual(ids(both.items), [7]);
      // A cursor of the one order means nothing in the other.
      await assert.rejects(list(tenant, { rollout: rollouts[1]!, limit: 2, cursor: ofGateway.next }));
    });

    it('get a higher id than all before, also after a write that failed', async () => {
      const tenant = db.newTenant();
      const before = await one(tenant);
      await assert.rejects(
        db.write(async (set) => {
          await set.rollouts.insertTasks(tenant, [task(before.rollout, 'lost')]);
          throw new Error('no');
        }),
      );
      assert.ok((await one(tenant)).id > before.id);
    });
  });

  describe('deadlines', () => {
    const db = useDatabase(open);

    it('are told in order, over all tenants, for active tasks only', async () => {
      const [one, other] = [db.newTenant(), db.newTenant()];
      const make = async (tenant: Tenant, deadlineAt: number | undefined) => {
        const [made] = await db.write(async (set) =>
          set.rollouts.insertTasks(tenant, [task(await set.rollouts.insert(tenant, rollout()), 'gw', { deadlineAt })]),
        );
        return made!.id;
      };
      assert.equal(await db.read.rollouts.nextDeadline(), undefined);
      const none = await make(one, undefined);
      assert.equal(await db.read.rollouts.nextDeadline(), undefined);
      const late = await make(one, 300);
      const early = await make(other, 100);
      const middle = await make(one, 200);
      const due = async (now: number, limit = 10) =>
        (await db.read.rollouts.dueTasks(now, limit)).map(({ tenant, task: { id } }) => [tenant, id]);
      assert.equal(await db.read.rollouts.nextDeadline(), 100);
      assert.deepEqual(await due(99), []);
      assert.deepEqual(await due(200), [
        [other, early],
        [one, middle],
      ]);
      assert.deepEqual(await due(10_000, 2), [
        [other, early],
        [one, middle],
      ]);
      await db.write((set) => set.rollouts.transition(other, early, 'pending', 'failed', 1, {}));
      await db.write((set) => set.rollouts.transition(one, middle, 'pending', 'offered', 1, { deadlineAt: 400 }));
      assert.equal(await db.read.rollouts.nextDeadline(), 300);
      assert.deepEqual(await due(10_000), [
        [one, late],
        [one, middle],
      ]);
      assert.ok(none > 0);
    });
  });
}
