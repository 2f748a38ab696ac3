/** Random interleavings of what gateways, operators, deadlines and crashes do to tasks, and what must hold after each. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  canMove,
  DDI_EXECUTIONS,
  isLeonoreError,
  isTerminal,
  type ErrorCode,
  type GatewayId,
  type RolloutId,
  type TaskTransition,
} from '@leonore/protocol';
import fc from 'fast-check';
import type { TaskRecord } from '../repositories/mod.ts';
import { gatewayId, openRig, TENANT, until, type Rig } from './testing/provisioning-rig.ts';

const IDS = ['a', 'b'];
const GATEWAYS = IDS.map(gatewayId);

const gateway = fc.constantFrom(...GATEWAYS);
/** Which of a gateway's tasks, the newest first. */
const back = fc.constantFrom(0, 0, 0, 0, 1, 2);
const finished = fc.constantFrom('none' as const, 'success' as const, 'failure' as const);
const execution = fc.constantFrom(...DDI_EXECUTIONS);
const rollout = fc.nat({ max: 2 });
/** What it says it has: nothing is said, or that nothing is there, which belies a success. */
const installed = fc.option(fc.constant<never[]>([]), { freq: 3, nil: undefined });
const action = fc.oneof(
  fc.record({ kind: fc.constant('poll' as const), gateway }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('deliver' as const),
      gateway,
      back,
      by: fc.constantFrom('pull' as const, 'push' as const),
    }),
  },
  fc.record({ kind: fc.constant('download' as const), gateway, back }),
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('feedback' as const), gateway, back, execution, finished, installed }),
  },
  fc.record({ kind: fc.constant('cancel feedback' as const), gateway, back, execution, finished }),
  fc.record({ kind: fc.constant('create' as const), application: fc.constantFrom('svm@1.0.0', 'svm@2.0.0', 'other') }),
  fc.record({
    kind: fc.constantFrom('pause' as const, 'resume' as const, 'abort' as const, 'retry' as const),
    rollout,
  }),
  fc.record({ kind: fc.constant('time' as const), seconds: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constantFrom('connect' as const, 'disconnect' as const), gateway }),
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
/** What happens at once, and whether the node goes down after it. */
const rounds = fc.array(
  fc.record({
    at: fc.array(action, { minLength: 1, maxLength: 5 }),
    restart: fc.constantFrom(true, false, false, false),
  }),
  {
    minLength: 5,
    maxLength: 20,
  },
);

/** What a gateway or an operator may be told; anything else is a fault. */
const TOLD: readonly ErrorCode[] = ['task.unknown', 'task.closed', 'task.state', 'rollout.state', 'rollout.unknown'];

async function perform(bench: Rig, todo: Action): Promise<void> {
  const { tasks, rollouts } = bench;
  const taskOf = async (id: GatewayId, nth: number) => {
    const { items } = await bench.node.repositories.read.rollouts.listTasks(TENANT, { gateway: id, limit: 3 });
    return items[nth]?.id;
  };
  switch (todo.kind) {
    case 'poll':
      await tasks.current(TENANT, todo.gateway);
      return;
    case 'create':
      await bench.create({ applications: [todo.application], deadline: 10 });
      return;
    case 'pause':
    case 'resume':
    case 'abort':
    case 'retry':
      await rollouts[todo.kind](TENANT, (todo.rollout + 1) as RolloutId);
      return;
    case 'time':
      bench.clock.now += todo.seconds * 1000;
      return;
    case 'connect':
      bench.connected.add(todo.gateway);
      bench.node.provisioning.gatewayReady(TENANT, todo.gateway);
      return;
    case 'disconnect':
      bench.connected.delete(todo.gateway);
      return;
    case 'deliver':
    case 'download':
    case 'feedback':
    case 'cancel feedback': {
      const task = await taskOf(todo.gateway, todo.back);
      if (task === undefined) return;
      if (todo.kind === 'deliver') await tasks.deliver(TENANT, todo.gateway, task, todo.by);
      else if (todo.kind === 'download') await tasks.download(TENANT, todo.gateway, task, () => true);
      else {
        const status = { execution: todo.execution, result: { finished: todo.finished } };
        if (todo.kind === 'feedback')
          await tasks.feedback(TENANT, todo.gateway, task, { status, installed: todo.installed });
        else await tasks.cancelFeedback(TENANT, todo.gateway, task, { status });
      }
    }
  }
}

interface Seen {
  readonly task: TaskRecord;
  readonly transitions: readonly TaskTransition[];
}

async function everyTask(bench: Rig): Promise<Seen[]> {
  const { rollouts } = bench.node.repositories.read;
  const pages = await Promise.all(GATEWAYS.map((id) => rollouts.listTasks(TENANT, { gateway: id, limit: 1000 })));
  return Promise.all(
    pages
      .flatMap(({ items }) => items)
      .map(async (task) => ({ task, transitions: await rollouts.transitions(TENANT, task.id) })),
  );
}

/** The history of what was seen before must be the beginning of what is seen now. */
function checkHistory(before: ReadonlyMap<number, Seen>, { task, transitions }: Seen): void {
  const earlier = before.get(task.id);
  if (earlier) {
    assert.deepEqual(transitions.slice(0, earlier.transitions.length), earlier.transitions);
    if (isTerminal(earlier.task.state)) assert.deepEqual(task, earlier.task, 'a terminal state stands');
  }
  for (const [i, { state }] of transitions.entries()) {
    const last = transitions[i - 1];
    assert.ok(last === undefined || last.state === state || canMove(last.state, state), `${last?.state} -> ${state}`);
  }
  assert.equal(transitions.at(-1)?.state, task.state);
}

function checkOneAtATime(tasks: readonly TaskRecord[]): void {
  const active = tasks.filter(({ state }) => !isTerminal(state));
  const places = active.map(({ gateway: id, rollout: of }) => `${id} ${of}`);
  assert.equal(new Set(places).size, places.length, 'one active task for each gateway and rollout');
  const out = active.filter(({ state }) => state !== 'pending').map(({ gateway: id }) => id);
  assert.equal(new Set(out).size, out.length, 'a gateway works on one task at a time');
}

/** Desired state is that of the last successes, no more and no less. */
async function checkDesired(bench: Rig, all: readonly Seen[]): Promise<void> {
  for (const id of GATEWAYS) {
    const done = all
      .filter(({ task }) => task.gateway === id && task.state === 'succeeded')
      .toSorted((x, y) => x.task.endedAt! - y.task.endedAt! || x.task.id - y.task.id);
    const asked = await Promise.all(done.map(({ task }) => bench.rollouts.get(TENANT, task.rollout)));
    const possible = new Set(
      asked.flatMap(({ applications }) => applications.map(({ name, range }) => `${name}@${range}`)),
    );
    const desired = await bench.desired(id);
    for (const application of desired)
      assert.ok(possible.has(application), `${application} is desired without a success`);
    const names = new Set(asked.flatMap(({ applications }) => applications.map(({ name }) => name as string)));
    assert.equal(desired.length, names.size, 'each success is desired');
  }
}

it('whatever comes in whatever order: histories hold, nobody is forgotten, everything ends', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(rounds, async (script) => {
      await using bench = await openRig();
      for (const version of ['1.0.0', '2.0.0']) await bench.publish('svm', version);
      await bench.publish('other', '1.0.0');
      for (const id of IDS) await bench.gateway(id, { strategies: ['pull', 'push'] });
      await bench.create({ applications: ['svm@1.0.0'], deadline: 10 });
      const before = new Map<number, Seen>();

      for (const { at, restart } of script) {
        const done = await Promise.allSettled(at.map((todo) => perform(bench, todo)));
        for (const one of done) {
          if (one.status === 'rejected' && !(isLeonoreError(one.reason) && TOLD.includes(one.reason.code)))
            throw one.reason;
        }
        if (restart) await bench.restart();
        const seen = await everyTask(bench);
        for (const one of seen) {
          checkHistory(before, one);
          before.set(one.task.id, one);
        }
        checkOneAtATime(seen.map(({ task }) => task));
      }

      // Every gateway falls silent: each phase passes its deadline, and every rollout comes to an end.
      for (const { id } of (await bench.rollouts.list(TENANT, { limit: 100 })).items) {
        await bench.rollouts.resume(TENANT, id).catch(() => undefined);
      }
      await until('the end of everything', async () => {
        bench.clock.now += 11_000;
        const { items } = await bench.rollouts.list(TENANT, { limit: 100 });
        return items.every(({ state }) => state !== 'running' && state !== 'paused');
      });
      const all = await until('every task to end', async () => {
        bench.clock.now += 11_000;
        const tasks = await everyTask(bench);
        return tasks.every(({ task }) => isTerminal(task.state)) && tasks;
      });
      for (const one of all) checkHistory(before, one);
      await checkDesired(bench, all);
      assert.deepEqual(bench.errors, []);
    }),
    { numRuns: 40, endOnFailure: true },
  );
});
