/** Packages are collected as eagerly as can be, while rollouts run in random interleavings: no task may lose its own. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  isLeonoreError,
  type ErrorCode,
  type GatewayId,
  type PackageId,
  type RolloutId,
  type TaskId,
} from '@leonore/protocol';
import fc from 'fast-check';
import type { TaskRecord } from '../repositories/mod.ts';
import { gatewayId, openRig, TENANT, until, type Rig } from './testing/provisioning-rig.ts';

/** Two of one class, one of another. */
const ARCHS = { a: 'x64', b: 'x64', c: 'arm64' };
const GATEWAYS = Object.keys(ARCHS).map(gatewayId);

const gateway = fc.constantFrom(...GATEWAYS);
const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      application: fc.constantFrom('svm@1.0.0', 'svm@2.0.0', 'other'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('deliver' as const), gateway }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('report' as const),
      gateway,
      result: fc.constantFrom('success' as const, 'success' as const, 'failure' as const),
    }),
  },
  fc.record({ kind: fc.constant('installed' as const), gateway }),
  fc.record({ kind: fc.constant('retry' as const), rollout: fc.nat({ max: 3 }) }),
  // It was flashed again: LEONORE makes it a task by itself.
  fc.record({ kind: fc.constant('lose everything' as const), gateway }),
  // It is of another class now: what waits for it is planned again.
  fc.record({ kind: fc.constant('change' as const), gateway, java: fc.constantFrom('17.0.0', '21.0.0') }),
  fc.record({ kind: fc.constantFrom('publish' as const, 'pass' as const) }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
/** What happens at once; after how many turns of the event loop the collector runs; whether the node goes down then. */
const rounds = fc.array(
  fc.record({
    at: fc.array(action, { minLength: 1, maxLength: 5 }),
    collect: fc.array(fc.nat({ max: 30 }), { maxLength: 4 }),
    restart: fc.constantFrom(true, false, false, false, false),
  }),
  { minLength: 5, maxLength: 15 },
);

/** What a gateway or an operator may be told; that a package is gone is not among it. */
const TOLD: readonly ErrorCode[] = ['task.unknown', 'task.closed', 'task.state', 'rollout.state', 'rollout.unknown'];

function checkTold(error: unknown): void {
  if (!isLeonoreError(error) || !TOLD.includes(error.code)) throw error;
}

async function tasksOf(bench: Rig, id: GatewayId): Promise<readonly TaskRecord[]> {
  return (await bench.node.repositories.read.rollouts.listTasks(TENANT, { gateway: id, limit: 1000 })).items;
}

async function perform(bench: Rig, todo: Action, versions: { published: number }): Promise<void> {
  switch (todo.kind) {
    case 'create':
      await bench.create({ applications: [todo.application] });
      return;
    case 'retry':
      await bench.rollouts.retry(TENANT, (todo.rollout + 1) as RolloutId);
      return;
    case 'publish':
      await bench.publish('other', `1.0.${++versions.published}`);
      return;
    case 'pass':
      bench.clock.now += 1;
      return;
    case 'lose everything':
      await bench.node.gateways.putProfile(TENANT, todo.gateway, { installed: [] }, 'merge');
      return;
    case 'change':
      await bench.node.gateways.putProfile(TENANT, todo.gateway, { capabilities: { java: todo.java } }, 'merge');
      return;
    case 'deliver': {
      const work = await bench.tasks.current(TENANT, todo.gateway);
      if (work.kind !== 'deployment') return;
      await bench.tasks.deliver(TENANT, todo.gateway, work.task, 'pull');
      const { package: record } = await bench.tasks.download(TENANT, todo.gateway, work.task, () => true);
      let size = 0;
      for await (const bytes of bench.node.builder.read(record)) size += bytes.length;
      assert.equal(size, record.summary.size);
      return;
    }
    case 'report': {
      const work = await bench.tasks.current(TENANT, todo.gateway);
      if (work.kind === 'deployment') await bench.feedback(todo.gateway, work.task, 'closed', todo.result);
      if (work.kind === 'cancel') await stop(bench, todo.gateway, work.task);
      return;
    }
    case 'installed': {
      const task = await bench.tasks.installedTask(TENANT, todo.gateway);
      if (task !== undefined) await bench.tasks.installed(TENANT, todo.gateway, task);
    }
  }
}

function stop(bench: Rig, id: GatewayId, task: TaskId): Promise<void> {
  const status = { execution: 'closed' as const, result: { finished: 'success' as const } };
  return bench.tasks.cancelFeedback(TENANT, id, task, { status });
}

/** Packages that active tasks and last successes refer to, as the tasks say. */
async function neededPackages(bench: Rig): Promise<ReadonlySet<PackageId>> {
  const needed = new Set<PackageId>();
  for (const id of GATEWAYS) {
    const tasks = await tasksOf(bench, id);
    const last = tasks.find((task) => task.state === 'succeeded' && task.package !== undefined);
    for (const task of tasks)
      if (task.package && (task.endedAt === undefined || task === last)) needed.add(task.package);
  }
  return needed;
}

async function checkNoneIsLost(bench: Rig): Promise<void> {
  for (const id of await neededPackages(bench))
    assert.ok(await bench.node.repositories.read.packages.find(TENANT, id), `${id} is needed and gone`);
}

it('no task and no last success ever loses its package; what nobody needs goes', { timeout: 300_000 }, async () => {
  let collected = 0;
  await fc.assert(
    fc.asyncProperty(rounds, async (script) => {
      await using bench = await openRig({ graceMs: 0 });
      const versions = { published: 0 };
      for (const version of ['1.0.0', '2.0.0']) await bench.publish('svm', version);
      await bench.publish('other', '1.0.0');
      for (const [id, arch] of Object.entries(ARCHS)) await bench.gateway(id, { os: 'linux', arch });

      for (const { at, collect, restart } of script) {
        const collecting = collect.map(async (turns) => {
          for (let turn = 0; turn < turns; turn++) await nextTurn();
          collected += (await bench.node.builder.collect()).packages;
        });
        const done = await Promise.allSettled(at.map((todo) => perform(bench, todo, versions)));
        await Promise.all(collecting);
        for (const one of done) if (one.status === 'rejected') checkTold(one.reason);
        if (restart) await bench.restart();
        await checkNoneIsLost(bench);
      }

      await until('every gateway to be done', async () => {
        for (const id of GATEWAYS) {
          for (const todo of [{ kind: 'deliver' as const }, { kind: 'report' as const, result: 'success' as const }])
            await perform(bench, { ...todo, gateway: id }, versions).catch(checkTold);
        }
        const { items } = await bench.rollouts.list(TENANT, { limit: 100 });
        return items.every(({ state }) => state !== 'running');
      });
      await bench.restart();
      // A use that was noted twice in a millisecond lies ahead of the clock.
      bench.clock.now += 1000;
      collected += (await bench.node.builder.collect()).packages;
      const { items } = await bench.node.builder.list(TENANT, { limit: 500 });
      assert.deepEqual(items.map(({ id }) => id).toSorted(), [...(await neededPackages(bench))].toSorted());
      assert.deepEqual(bench.errors, []);
    }),
    { numRuns: 25, endOnFailure: true },
  );
  assert.ok(collected > 0, 'the collector had something to do');
});
