/** What a gateway shall do now, and the documents of it. A gateway works on one task at a time, the heaviest first, then the oldest. */
import { createHash } from 'node:crypto';
import {
  isLeonoreError,
  isTerminal,
  LeonoreError,
  type GatewayId,
  type Strategy,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import type { CurrentWork, TaskDelivery } from '../gateway-handler/mod.ts';
import type { Deltas, PackageBuilder } from '../package-builder/mod.ts';
import type { GatewayRecord, PackageRecord, Repositories, RolloutRecord, TaskRecord } from '../repositories/mod.ts';
import { comesFirst, handlingAt, opensInMs, phaseStart } from './handling.ts';
import { withPackages, type UsePackages } from './package-use.ts';
import type { Planner } from './planner.ts';
import { applyDesired, type Decision, type TaskMoves } from './task-moves.ts';
import type { RolloutChange } from './wanted.ts';

export interface TaskOffers {
  current(tenant: Tenant, gateway: GatewayId): Promise<CurrentWork>;
  deliver(tenant: Tenant, gateway: GatewayId, task: TaskId, by: Strategy): Promise<TaskDelivery>;
  /** What the gateway shall do now, delivered at once: for who brings it there without being asked. */
  deliverCurrent(tenant: Tenant, gateway: GatewayId, by: Strategy): Promise<DeliveredWork>;
  installed(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  confirmation(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  module(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  download(
    tenant: Tenant,
    gateway: GatewayId,
    task: TaskId,
    begins: (fileName: string) => boolean,
  ): Promise<Pick<TaskDelivery, 'package' | 'hashes'>>;
}

export type DeliveredWork =
  | { readonly kind: 'deployment'; readonly delivery: TaskDelivery }
  | { readonly kind: 'cancel'; readonly task: TaskId }
  | { readonly kind: 'none' };

/** As `CurrentWork`, with the task itself. */
type Work =
  | { readonly kind: 'deployment' | 'confirmation'; readonly task: TaskRecord }
  | { readonly kind: 'cancel'; readonly task: TaskRecord }
  | { readonly kind: 'none' };

const NOTHING_TO_DO = { download: 'skip', update: 'skip' } as const;

/** Newest tasks of a gateway among which one is looked for that went before an older one. */
const LOOKED_AT = 50;

export function createTaskOffers(deps: {
  repositories: Repositories;
  builder: PackageBuilder;
  deltas?: Pick<Deltas, 'offers'>;
  planner: Planner;
  moves: TaskMoves;
  now: () => number;
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
    if (fits && (await planner.stillGood(tenant, gateway, await packageOf(tenant, task)))) return task;
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
    return withPackages(deps, (use) => replanOnce(tenant, task, gateway, change, use));
  }

  async function replanOnce(
    tenant: Tenant,
    task: TaskRecord,
    gateway: GatewayRecord,
    change: RolloutChange,
    use: UsePackages,
  ): Promise<TaskRecord | undefined> {
    const plan = await planner.plan(tenant, gateway, change);
    const whilePending = (decision: Decision) => (now: TaskRecord) => (now.state === 'pending' ? decision : undefined);
    switch (plan.kind) {
      case 'package': {
        const messages = ['planned again: the gateway or the artifacts changed'];
        // What was agreed to is what is installed: another package is asked for anew.
        const again = task.condition === 'confirmed' && plan.package !== task.package;
        const condition = again && !gateway.autoConfirm ? ('unconfirmed' as const) : undefined;
        const planned = { package: plan.package, classKey: plan.classKey, condition, messages };
        return moves.move(tenant, task.id, whilePending({ to: 'pending', change: planned }), (set) =>
          use(set, tenant, [plan.package]),
        );
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
    for (const found of [...begun, ...(await heaviestFirst(tenant, waiting))]) {
      if (found.canceling) return { kind: 'cancel', task: found };
      const task = await confirmedByItself(tenant, found);
      const ready = task.state === 'pending' ? await prepare(tenant, task) : task;
      if (ready?.package)
        return { kind: ready.condition === 'unconfirmed' ? 'confirmation' : 'deployment', task: ready };
    }
    return { kind: 'none' };
  }

  async function heaviestFirst(tenant: Tenant, tasks: readonly TaskRecord[]): Promise<readonly TaskRecord[]> {
    if (tasks.length < 2) return tasks;
    const rollouts = await Promise.all(tasks.map((task) => moves.rolloutOf(tenant, task)));
    const weights = new Map(tasks.map(({ id }, i) => [id, rollouts[i]?.handling?.weight]));
    return tasks.toSorted((a, b) => comesFirst(weights.get(a.id), weights.get(b.id)) || a.id - b.id);
  }

  /** The task, confirmed where its gateway need not be asked. */
  async function confirmedByItself(tenant: Tenant, task: TaskRecord): Promise<TaskRecord> {
    if (task.condition !== 'unconfirmed') return task;
    const { autoConfirm } = (await repositories.read.gateways.find(tenant, task.gateway)) ?? {};
    if (!autoConfirm) return task;
    const { initiator, remark } = autoConfirm;
    const by = initiator === undefined ? '' : ` by ${initiator}`;
    const messages = [
      `confirmed at once: auto-confirm was activated${by}${remark === undefined ? '' : ` (${remark})`}`,
    ];
    const confirmed = await moves.move(tenant, task.id, ({ state, condition }) =>
      condition === 'unconfirmed' && !isTerminal(state)
        ? { to: state, change: { condition: 'confirmed', messages } }
        : undefined,
    );
    return confirmed ?? moves.own(tenant, task.gateway, task.id);
  }

  /** Of tasks that are on offer; what is installed needs none. */
  async function deltasFor(tenant: Tenant, task: TaskRecord, record: PackageRecord): Promise<TaskDelivery['deltas']> {
    if (isTerminal(task.state) || !deps.deltas) return [];
    return deps.deltas.offers(
      record,
      async () => (await repositories.read.gateways.find(tenant, task.gateway))?.profile,
    );
  }

  async function deliveryOf(tenant: Tenant, task: TaskRecord): Promise<TaskDelivery> {
    const [record, rollout] = await Promise.all([packageOf(tenant, task), moves.rolloutOf(tenant, task)]);
    return {
      task: task.id,
      package: record,
      hashes: await builder.hashes(tenant, record),
      expiresAt: expiry(task, rollout),
      handling: handlingAt(rollout.handling, deps.now()),
      deltas: await deltasFor(tenant, task, record),
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
    if (now.canceling || isTerminal(now.state) || now.condition === 'unconfirmed')
      throw new LeonoreError('task.unknown', `task ${task.id} is not on offer any more`);
    return deliveryOf(tenant, now);
  }

  /** What ended, for who asks late. */
  async function endedDelivery(tenant: Tenant, task: TaskRecord): Promise<TaskDelivery> {
    if (task.state === 'canceled') throw new LeonoreError('task.unknown', `task ${task.id} was canceled`);
    try {
      return await deliveryOf(tenant, task);
    } catch (error) {
      // Only that of the last success is sure to be there.
      if (!isLeonoreError(error, 'package.unknown')) throw error;
      throw new LeonoreError('task.unknown', `the package of task ${task.id} is not kept any more`, { cause: error });
    }
  }

  /** A task whose package the gateway may have now. */
  async function downloadable(tenant: Tenant, gateway: GatewayId, id: TaskId): Promise<TaskRecord> {
    const task = await moves.own(tenant, gateway, id);
    const hidden = task.state === 'pending' && task.condition !== 'unconfirmed';
    if (task.canceling || isTerminal(task.state) || hidden)
      throw new LeonoreError('task.unknown', `task ${id} has nothing to download now`);
    return task;
  }

  return {
    async current(tenant, gateway) {
      const work = await upNext(tenant, gateway);
      if (work.kind === 'none') return work;
      const { id, package: packageId = '' } = work.task;
      if (work.kind === 'cancel') return { kind: 'cancel', task: id };
      const { handling } = await moves.rolloutOf(tenant, work.task);
      const now = deps.now();
      const revision = int32Of([work.kind, packageId, handlingAt(handling, now)]);
      if (work.kind === 'confirmation') return { kind: 'confirmation', task: id, revision };
      return { kind: 'deployment', task: id, revision, opensInMs: opensInMs(handling, now) };
    },
    async deliver(tenant, gateway, id, by) {
      const task = await moves.own(tenant, gateway, id);
      // Whoever asks after the end shall not begin again.
      if (isTerminal(task.state)) return { ...(await endedDelivery(tenant, task)), handling: NOTHING_TO_DO };
      if (task.state !== 'pending') return offered(tenant, task, by);
      const work = await upNext(tenant, gateway);
      if (work.kind !== 'deployment' || work.task.id !== id)
        throw new LeonoreError('task.unknown', `task ${id} is not on offer now`);
      return offered(tenant, work.task, by);
    },
    async deliverCurrent(tenant, gateway, by) {
      const work = await upNext(tenant, gateway);
      if (work.kind === 'none' || work.kind === 'confirmation') return { kind: 'none' };
      if (work.kind === 'cancel') return { kind: 'cancel', task: work.task.id };
      return { kind: 'deployment', delivery: await offered(tenant, work.task, by) };
    },
    async installed(tenant, gateway, id) {
      const task = await moves.own(tenant, gateway, id);
      if (!isTerminal(task.state)) throw new LeonoreError('task.unknown', `task ${id} is still under way`);
      return endedDelivery(tenant, task);
    },
    async confirmation(tenant, gateway, id) {
      await moves.own(tenant, gateway, id);
      const work = await upNext(tenant, gateway);
      if (work.kind !== 'confirmation' || work.task.id !== id)
        throw new LeonoreError('task.unknown', `task ${id} does not wait for a confirmation now`);
      return deliveryOf(tenant, work.task);
    },
    async module(tenant, gateway, id) {
      const task = await moves.own(tenant, gateway, id);
      const installed = await repositories.read.rollouts.lastInstalledTask(tenant, gateway);
      return task.id === installed?.id
        ? endedDelivery(tenant, task)
        : deliveryOf(tenant, await downloadable(tenant, gateway, id));
    },
    async download(tenant, gateway, id, begins) {
      const task = await downloadable(tenant, gateway, id);
      const record = await packageOf(tenant, task);
      if (task.state === 'offered' && begins(record.summary.fileName)) {
        const begun = ({ state }: TaskRecord) => (state === 'offered' ? ({ to: 'downloading' } as const) : undefined);
        await moves.move(tenant, id, begun, undefined, task);
      }
      return { package: record, hashes: await builder.hashes(tenant, record) };
    },
  };
}

/** After it the gateway refuses the task: by then each of its phases has passed its deadline. */
function expiry({ createdAt, deadlineAt }: TaskRecord, { deadlines, handling }: RolloutRecord): number {
  const { pending, offered, downloading, installing } = deadlines;
  const begins = handling?.window ? phaseStart(handling, deadlineAt ?? createdAt) : createdAt;
  return begins + (pending + offered + downloading + installing) * 1000;
}

/** A signed 32-bit number that changes with what it is made of. */
function int32Of(parts: readonly unknown[]): number {
  return createHash('sha1').update(JSON.stringify(parts)).digest().readInt32BE();
}
