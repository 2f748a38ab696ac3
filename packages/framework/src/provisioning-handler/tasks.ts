/**
 * Leads tasks along their state machine (protocol/task.ts): every change goes through `move`, which compares and swaps,
 * so that of two that race one wins and a terminal state stands. A gateway works on one task at a time, the oldest first.
 */
import {
  canMove,
  isTerminal,
  LeonoreError,
  type DdiFeedback,
  type Deadlines,
  type GatewayId,
  type Strategy,
  type TaskId,
  type TaskState,
  type Tenant,
} from '@leonore/protocol';
import type { EventBus } from '../events/mod.ts';
import type { CurrentWork, TaskDelivery, TaskHistory } from '../gateway-handler/mod.ts';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type {
  GatewayRecord,
  PackageRecord,
  Repositories,
  RepositorySet,
  RolloutRecord,
  TaskChange,
  TaskRecord,
} from '../repositories/mod.ts';
import { installedAfter, messagesOf, missingAfter, stateOf } from './feedback.ts';
import type { Planner } from './planner.ts';
import { presentTask } from './presentation.ts';

export interface Tasks {
  current(tenant: Tenant, gateway: GatewayId): Promise<CurrentWork>;
  installedTask(tenant: Tenant, gateway: GatewayId): Promise<TaskId | undefined>;
  deliver(tenant: Tenant, gateway: GatewayId, task: TaskId, by: Strategy): Promise<TaskDelivery>;
  history(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskHistory>;
  installed(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  download(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<Pick<TaskDelivery, 'package' | 'hashes'>>;
  downloading(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
  feedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
  cancelRequested(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
  cancelFeedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
  /** Ends what the gateway has not seen; asks the gateway to stop what it has. The task as it is then. */
  cancel(tenant: Tenant, task: TaskRecord, why: string): Promise<TaskRecord | undefined>;
  /** Ends a task without the gateway: its deadline passed, it fits no more. */
  end(tenant: Tenant, task: TaskRecord, state: 'failed' | 'canceled', why: string): Promise<void>;
}

/** An INTERNAL signal that something about a gateway's tasks is new. */
export interface TaskListener {
  /** A task changed its state, or was said something of. */
  changed(tenant: Tenant, task: TaskRecord): void;
}

const COMPARE_AND_SWAP_TRIES = 5;

export function createTasks(deps: {
  repositories: Repositories;
  builder: PackageBuilder;
  planner: Planner;
  events: EventBus;
  now: () => number;
  listener: TaskListener;
}): Tasks {
  const { repositories, builder, planner, events, now, listener } = deps;

  function announce(tenant: Tenant, task: TaskRecord): void {
    events.publish(tenant, { type: 'task', task: presentTask(task) });
    listener.changed(tenant, task);
  }

  async function own(tenant: Tenant, gateway: GatewayId, id: TaskId): Promise<TaskRecord> {
    const task = await repositories.read.rollouts.findTask(tenant, id);
    if (task?.gateway !== gateway) throw new LeonoreError('task.unknown', `gateway ${gateway} has no task ${id}`);
    return task;
  }

  async function rolloutOf(
    tenant: Tenant,
    task: TaskRecord,
    set: RepositorySet = repositories.read,
  ): Promise<RolloutRecord> {
    const rollout = await set.rollouts.find(tenant, task.rollout);
    if (!rollout)
      throw new LeonoreError('rollout.unknown', `task ${task.id} belongs to rollout ${task.rollout}, which is gone`);
    return rollout;
  }

  async function packageOf(tenant: Tenant, task: TaskRecord): Promise<PackageRecord> {
    if (!task.package) throw new LeonoreError('task.unknown', `task ${task.id} has no package yet`);
    return builder.find(tenant, task.package);
  }

  /**
   * The one way a task changes. `decide` looks at the task as it is and says where it goes (its own state: only a note;
   * undefined: nothing to do); it is asked again when somebody else was quicker. `also` runs in the same transaction.
   */
  async function move(
    tenant: Tenant,
    id: TaskId,
    decide: (task: TaskRecord) => { to: TaskState; change?: TaskChange } | undefined,
    also?: (set: RepositorySet, task: TaskRecord) => Promise<void>,
  ): Promise<TaskRecord | undefined> {
    for (let tries = 0; tries < COMPARE_AND_SWAP_TRIES; tries++) {
      const outcome = await repositories.write(async (set) => {
        const task = await set.rollouts.findTask(tenant, id);
        const decision = task && decide(task);
        if (!task || !decision) return { done: true, task: undefined } as const;
        const { to, change = {} } = decision;
        const deadlineAt =
          to === task.state || isTerminal(to)
            ? undefined
            : deadline((await rolloutOf(tenant, task, set)).deadlines, to, now());
        const moved = await set.rollouts.transition(tenant, id, task.state, to, now(), { ...change, deadlineAt });
        if (moved) await also?.(set, moved);
        return { done: moved !== undefined, task: moved } as const;
      });
      if (outcome.task) announce(tenant, outcome.task);
      if (outcome.done) return outcome.task;
    }
    throw new LeonoreError('server.internal', `task ${id} changed under every try to move it`);
  }

  /** Makes sure that a waiting task still fits its gateway. Undefined when it is not to be done now, or never. */
  async function prepare(tenant: Tenant, task: TaskRecord): Promise<TaskRecord | undefined> {
    const rollout = await rolloutOf(tenant, task);
    if (rollout.state === 'paused') return undefined;
    const gateway = await repositories.read.gateways.find(tenant, task.gateway);
    if (!gateway) return undefined;
    const fits = task.package !== undefined && task.classKey === planner.classKey(gateway, rollout);
    if (fits && (await planner.stillOffered(tenant, await packageOf(tenant, task)))) return task;
    return replan(tenant, task, gateway, rollout);
  }

  async function replan(
    tenant: Tenant,
    task: TaskRecord,
    gateway: GatewayRecord,
    rollout: RolloutRecord,
  ): Promise<TaskRecord | undefined> {
    const plan = await planner.plan(tenant, gateway, rollout);
    const stillPending = (state: TaskState) => state === 'pending';
    switch (plan.kind) {
      case 'package': {
        const change = {
          package: plan.package.summary.id,
          classKey: plan.classKey,
          messages: ['planned again: the gateway or the artifacts changed'],
        };
        return move(tenant, task.id, ({ state }) => (stillPending(state) ? { to: state, change } : undefined));
      }
      case 'nothing':
        await move(
          tenant,
          task.id,
          ({ state }) =>
            stillPending(state)
              ? { to: 'succeeded', change: { messages: ['the gateway has everything already'] } }
              : undefined,
          (set) => applyDesired(tenant, set, gateway.id, rollout),
        );
        return undefined;
      case 'blocked':
        await move(tenant, task.id, ({ state }) =>
          stillPending(state) ? { to: 'failed', change: { messages: [plan.explanation.summary] } } : undefined,
        );
        return undefined;
      default:
        return plan satisfies never;
    }
  }

  async function deliveryOf(tenant: Tenant, task: TaskRecord): Promise<TaskDelivery> {
    const [record, rollout] = await Promise.all([packageOf(tenant, task), rolloutOf(tenant, task)]);
    const { pending, offered, downloading, installing } = rollout.deadlines;
    return {
      task: task.id,
      package: record,
      hashes: await builder.hashes(tenant, record),
      expiresAt: task.createdAt + (pending + offered + downloading + installing) * 1000,
    };
  }

  return {
    async current(tenant, gateway) {
      for (const task of await repositories.read.rollouts.activeTasks(tenant, gateway)) {
        if (task.canceling) return { kind: 'cancel', task: task.id };
        const ready = task.state === 'pending' ? await prepare(tenant, task) : task;
        if (ready?.package)
          return { kind: 'deployment', task: ready.id, revision: Number.parseInt(ready.package.slice(2, 9), 16) };
      }
      return { kind: 'none' };
    },
    async installedTask(tenant, gateway) {
      const last = await repositories.read.rollouts.lastTask(tenant, gateway);
      return last?.state === 'succeeded' && last.package !== undefined ? last.id : undefined;
    },
    async deliver(tenant, gateway, id, by) {
      let task = await own(tenant, gateway, id);
      if (task.canceling || isTerminal(task.state))
        throw new LeonoreError('task.unknown', `task ${id} is not on offer any more`);
      if (task.state === 'pending') {
        const ready = await prepare(tenant, task);
        if (!ready) throw new LeonoreError('task.unknown', `task ${id} is not on offer now`);
        task = ready;
      }
      const firstTime = task.state === 'pending';
      if (firstTime || (task.state === 'offered' && task.deliveredBy !== by)) {
        const moved = await move(tenant, id, ({ state, canceling }) =>
          canceling || (state !== 'pending' && state !== 'offered')
            ? undefined
            : { to: 'offered', change: { deliveredBy: by } },
        );
        task = moved ?? (await own(tenant, gateway, id));
      }
      return deliveryOf(tenant, task);
    },
    async history(tenant, gateway, id) {
      await own(tenant, gateway, id);
      const transitions = await repositories.read.rollouts.transitions(tenant, id);
      const messages = transitions.flatMap((transition) => transition.messages).toReversed();
      return { status: transitions.at(-1)?.state.toUpperCase() ?? 'UNKNOWN', messages };
    },
    async installed(tenant, gateway, id) {
      const task = await own(tenant, gateway, id);
      if (task.state !== 'succeeded') throw new LeonoreError('task.unknown', `task ${id} is not installed`);
      return deliveryOf(tenant, task);
    },
    async download(tenant, gateway, id) {
      const task = await own(tenant, gateway, id);
      if (task.canceling || isTerminal(task.state) || task.state === 'pending') {
        throw new LeonoreError('task.unknown', `task ${id} has nothing to download now`);
      }
      const record = await packageOf(tenant, task);
      return { package: record, hashes: await builder.hashes(tenant, record) };
    },
    async downloading(tenant, gateway, id) {
      const task = await own(tenant, gateway, id);
      if (!canMove(task.state, 'downloading')) return;
      await move(tenant, id, ({ state }) => (canMove(state, 'downloading') ? { to: 'downloading' } : undefined));
    },

    async feedback(tenant, gateway, id, feedback) {
      const task = await own(tenant, gateway, id);
      if (task.state === 'pending')
        throw new LeonoreError('task.unknown', `task ${id} was not offered to gateway ${gateway} yet`);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      const messages = messagesOf(feedback.status);
      const reported = stateOf(feedback.status);
      let target = reported;
      const manifest = reported === 'succeeded' ? (await packageOf(tenant, task)).manifest : undefined;
      if (manifest && feedback.installed) {
        const missing = missingAfter(manifest, feedback.installed);
        if (missing.length > 0) {
          target = 'failed';
          messages.push(`the gateway reports success, but what it says it has lacks ${missing.join(', ')}`);
        }
      }
      const moved = await move(
        tenant,
        id,
        ({ state }) => {
          if (isTerminal(state)) return undefined;
          return { to: target !== undefined && canMove(state, target) ? target : state, change: { messages } };
        },
        async (set, after) => {
          if (!isTerminal(after.state)) return;
          const known = await set.gateways.find(tenant, gateway);
          if (!known) return;
          const installed = feedback.installed ?? (manifest && installedAfter(known.profile.installed ?? [], manifest));
          if (installed) await set.gateways.setProfile(tenant, gateway, { ...known.profile, installed });
          if (after.state === 'succeeded')
            await applyDesired(tenant, set, gateway, await rolloutOf(tenant, after, set));
        },
      );
      if (!moved) throw new LeonoreError('task.closed', `task ${id} has ended meanwhile`);
    },

    async cancelRequested(tenant, gateway, id) {
      const task = await own(tenant, gateway, id);
      if (!task.canceling || isTerminal(task.state))
        throw new LeonoreError('task.unknown', `task ${id} is not being canceled`);
    },
    async cancelFeedback(tenant, gateway, id, { status }) {
      const task = await own(tenant, gateway, id);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      if (!task.canceling) throw new LeonoreError('task.state', `task ${id} is not being canceled`);
      const messages = messagesOf(status);
      const confirmed = status.execution === 'closed' && status.result.finished !== 'failure';
      const refused =
        status.execution === 'rejected' || (status.execution === 'closed' && status.result.finished === 'failure');
      await move(tenant, id, ({ state }) => {
        if (isTerminal(state)) return undefined;
        if (confirmed) return { to: 'canceled', change: { messages: [...messages, 'the gateway stopped it'] } };
        if (refused)
          return {
            to: state,
            change: { canceling: false, messages: [...messages, 'the gateway goes on: it cannot stop any more'] },
          };
        return { to: state, change: { messages } };
      });
    },

    async cancel(tenant, task, why) {
      return move(tenant, task.id, ({ state, canceling }) => {
        if (isTerminal(state) || canceling) return undefined;
        if (state === 'pending') return { to: 'canceled', change: { messages: [why] } };
        return { to: state, change: { canceling: true, messages: [why] } };
      });
    },
    async end(tenant, task, to, why) {
      await move(tenant, task.id, ({ state }) =>
        state === task.state ? { to, change: { messages: [why] } } : undefined,
      );
    },
  };
}

async function applyDesired(
  tenant: Tenant,
  set: RepositorySet,
  gateway: GatewayId,
  rollout: RolloutRecord,
): Promise<void> {
  const desired = rollout.applications.map((application) => ({ ...application, rollout: rollout.id }));
  await set.gateways.changeDesired(tenant, [gateway], { set: desired, remove: rollout.remove });
}

/** When a task that enters `state` now fails by itself, milliseconds since 1970. */
export function deadline(deadlines: Deadlines, state: TaskState, now: number): number | undefined {
  switch (state) {
    case 'pending':
    case 'offered':
    case 'downloading':
    case 'installing':
      return now + deadlines[state] * 1000;
    case 'succeeded':
    case 'failed':
    case 'rejected':
    case 'canceled':
      return undefined;
    default:
      return state satisfies never;
  }
}
