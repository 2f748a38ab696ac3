/** What a gateway shall do now, and the documents of it. A gateway works on one task at a time, the oldest first. */
import { isTerminal, LeonoreError, type GatewayId, type Strategy, type TaskId, type Tenant } from '@leonore/protocol';
import type { CurrentWork, TaskDelivery } from '../gateway-handler/mod.ts';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { GatewayRecord, PackageRecord, Repositories, RolloutRecord, TaskRecord } from '../repositories/mod.ts';
import type { Planner } from './planner.ts';
import { applyDesired, type Decision, type TaskMoves } from './task-moves.ts';
import type { RolloutChange } from './wanted.ts';

export interface TaskOffers {
  current(tenant: Tenant, gateway: GatewayId): Promise<CurrentWork>;
  deliver(tenant: Tenant, gateway: GatewayId, task: TaskId, by: Strategy): Promise<TaskDelivery>;
  /** What the gateway shall do now, delivered at once: for who brings it there without being asked. */
  deliverCurrent(tenant: Tenant, gateway: GatewayId, by: Strategy): Promise<DeliveredWork>;
  installed(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  /** With `begins`, the task counts as downloading from now on. */
  download(
    tenant: Tenant,
    gateway: GatewayId,
    task: TaskId,
    begins: boolean,
  ): Promise<Pick<TaskDelivery, 'package' | 'hashes'>>;
}

export type DeliveredWork =
  | { readonly kind: 'deployment'; readonly delivery: TaskDelivery }
  | { readonly kind: 'cancel'; readonly task: TaskId }
  | { readonly kind: 'none' };

/** As `CurrentWork`, with the task itself. */
type Work =
  | { readonly kind: 'deployment'; readonly task: TaskRecord }
  | { readonly kind: 'cancel'; readonly task: TaskRecord }
  | { readonly kind: 'none' };

/** Newest tasks of a gateway among which one is looked for that went before an older one. */
const LOOKED_AT = 50;

export function createTaskOffers(deps: {
  repositories: Repositories;
  builder: PackageBuilder;
  planner: Planner;
  moves: TaskMoves;
}): TaskOffers {
  const { repositories, builder, planner, moves } = deps;

  async function packageOf(tenant: Tenant, task: TaskRecord): Promise<PackageRecord> {
    if (!task.package) throw new LeonoreError('task.unknown', `task ${task.id} has no package yet`);
    return builder.find(tenant, task.package);
  }

  /** Makes sure that a waiting task still fits its gateway. Undefined when it is not to be done now, or never. */
  async function prepare(tenant: Tenant, waiting: TaskRecord): Promise<TaskRecord | undefined> {
    const rollout = await moves.rolloutOf(tenant, waiting);
    if (rollout.state === 'paused') return undefined;
    const gateway = await repositories.read.gateways.find(tenant, waiting.gateway);
    if (!gateway) return undefined;
    const task = (await wasOvertaken(tenant, waiting))
      ? await moves.renew(tenant, waiting, rollout, 'made again: a later task went first while this one was held back')
      : waiting;
    if (!task) return undefined;
    const change = await moves.changeOf(tenant, task, rollout);
    const fits = task.package !== undefined && task.classKey === planner.classKey(gateway, change);
    if (fits && (await planner.stillOffered(tenant, await packageOf(tenant, task)))) return task;
    return replan(tenant, task, gateway, change);
  }

  /** Gateways refuse a task that is older than one they had: it may be a replayed one. */
  async function wasOvertaken(tenant: Tenant, task: TaskRecord): Promise<boolean> {
    const last = await repositories.read.rollouts.lastTask(tenant, task.gateway);
    if (last?.id === task.id) return false;
    const { items } = await repositories.read.rollouts.listTasks(tenant, { gateway: task.gateway, limit: LOOKED_AT });
    return items.some(({ id, deliveredBy }) => id > task.id && deliveredBy !== undefined);
  }

  async function replan(
    tenant: Tenant,
    task: TaskRecord,
    gateway: GatewayRecord,
    change: RolloutChange,
  ): Promise<TaskRecord | undefined> {
    const plan = await planner.plan(tenant, gateway, change);
    const whilePending = (decision: Decision) => (now: TaskRecord) => (now.state === 'pending' ? decision : undefined);
    switch (plan.kind) {
      case 'package': {
        const messages = ['planned again: the gateway or the artifacts changed'];
        const planned = { package: plan.package, classKey: plan.classKey, messages };
        return moves.move(tenant, task.id, whilePending({ to: 'pending', change: planned }));
      }
      case 'nothing':
        await moves.move(
          tenant,
          task.id,
          whilePending({ to: 'succeeded', change: { messages: ['the gateway has everything already'] } }),
          (set, done) => applyDesired(tenant, set, done, change),
        );
        return undefined;
      case 'blocked':
        await moves.move(
          tenant,
          task.id,
          whilePending({ to: 'failed', change: { messages: [plan.explanation.summary] } }),
        );
        return undefined;
      default:
        return plan satisfies never;
    }
  }

  async function upNext(tenant: Tenant, gateway: GatewayId): Promise<Work> {
    const active = await repositories.read.rollouts.activeTasks(tenant, gateway);
    // What it works on comes before what waits, though that may be older: it was held back by a pause.
    const { true: waiting = [], false: begun = [] } = Object.groupBy(active, ({ state }) =>
      state === 'pending' ? 'true' : 'false',
    );
    for (const task of [...begun, ...waiting]) {
      if (task.canceling) return { kind: 'cancel', task };
      const ready = task.state === 'pending' ? await prepare(tenant, task) : task;
      if (ready?.package) return { kind: 'deployment', task: ready };
    }
    return { kind: 'none' };
  }

  async function deliveryOf(tenant: Tenant, task: TaskRecord): Promise<TaskDelivery> {
    const [record, rollout] = await Promise.all([packageOf(tenant, task), moves.rolloutOf(tenant, task)]);
    return {
      task: task.id,
      package: record,
      hashes: await builder.hashes(tenant, record),
      expiresAt: expiry(task, rollout),
    };
  }

  /** The task is up next: it counts as offered from now on. @throws task.unknown when it ended or is being canceled meanwhile */
  async function offered(tenant: Tenant, task: TaskRecord, by: Strategy): Promise<TaskDelivery> {
    // Later than a push, a pull says how it came for true; a push after a pull only says it again.
    const first = ({ state, deliveredBy }: TaskRecord) =>
      state === 'pending' || (state === 'offered' && deliveredBy === 'push' && by === 'pull');
    const change = { to: 'offered', change: { deliveredBy: by } } as const;
    const now = first(task)
      ? ((await moves.move(tenant, task.id, (seen) => (first(seen) && !seen.canceling ? change : undefined))) ??
        (await moves.own(tenant, task.gateway, task.id)))
      : task;
    if (now.canceling || isTerminal(now.state))
      throw new LeonoreError('task.unknown', `task ${task.id} is not on offer any more`);
    return deliveryOf(tenant, now);
  }

  return {
    async current(tenant, gateway) {
      const work = await upNext(tenant, gateway);
      if (work.kind === 'none') return work;
      const { id, package: packageId = '' } = work.task;
      if (work.kind === 'cancel') return { kind: 'cancel', task: id };
      return { kind: 'deployment', task: id, revision: Number.parseInt(packageId.slice(2, 9), 16) };
    },
    async deliver(tenant, gateway, id, by) {
      const task = await moves.own(tenant, gateway, id);
      if (task.state !== 'pending') return offered(tenant, task, by);
      const work = await upNext(tenant, gateway);
      if (work.kind !== 'deployment' || work.task.id !== id)
        throw new LeonoreError('task.unknown', `task ${id} is not on offer now`);
      return offered(tenant, work.task, by);
    },
    async deliverCurrent(tenant, gateway, by) {
      const work = await upNext(tenant, gateway);
      if (work.kind === 'none') return work;
      if (work.kind === 'cancel') return { kind: 'cancel', task: work.task.id };
      return { kind: 'deployment', delivery: await offered(tenant, work.task, by) };
    },
    async installed(tenant, gateway, id) {
      const task = await moves.own(tenant, gateway, id);
      if (task.state !== 'succeeded') throw new LeonoreError('task.unknown', `task ${id} is not installed`);
      return deliveryOf(tenant, task);
    },
    async download(tenant, gateway, id, begins) {
      const task = await moves.own(tenant, gateway, id);
      if (task.canceling || isTerminal(task.state) || task.state === 'pending') {
        throw new LeonoreError('task.unknown', `task ${id} has nothing to download now`);
      }
      if (begins && task.state === 'offered') {
        const begun = ({ state }: TaskRecord) => (state === 'offered' ? ({ to: 'downloading' } as const) : undefined);
        await moves.move(tenant, id, begun, undefined, task);
      }
      const record = await packageOf(tenant, task);
      return { package: record, hashes: await builder.hashes(tenant, record) };
    },
  };
}

/** After it the gateway refuses the task: by then each of its phases has passed its deadline. */
function expiry({ createdAt }: TaskRecord, { deadlines }: RolloutRecord): number {
  const { pending, offered, downloading, installing } = deadlines;
  return createdAt + (pending + offered + downloading + installing) * 1000;
}
