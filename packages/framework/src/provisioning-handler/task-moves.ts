/** The one way a task changes: compare and swap, so that of two that race one wins and a terminal state stands. */
import { isTerminal, LeonoreError, type GatewayId, type TaskId, type TaskState, type Tenant } from '@leonore/protocol';
import type { EventBus } from '../events/mod.ts';
import type { Repositories, RepositorySet, RolloutRecord, TaskChange, TaskRecord } from '../repositories/mod.ts';
import { phaseStart } from './handling.ts';
import { presentTask } from './presentation.ts';
import { NO_CHANGE, type RolloutChange } from './wanted.ts';

/** Hears what is durable. */
export interface TaskListener {
  /** A task was made, changed its state, or was said something of. */
  changed(tenant: Tenant, task: TaskRecord): void;
  /** A gateway at work is to stop. */
  canceling(tenant: Tenant, task: TaskRecord): void;
}

export interface Decision {
  /** Its own state: only a note. */
  readonly to: TaskState;
  readonly change?: TaskChange;
}

/** What the deadlines of a rollout's tasks depend on. */
type Timing = Pick<RolloutRecord, 'deadlines' | 'handling'>;

export interface TaskMoves {
  /** A task of this gateway. @throws task.unknown */
  own(tenant: Tenant, gateway: GatewayId, id: TaskId): Promise<TaskRecord>;
  rolloutOf(tenant: Tenant, task: TaskRecord): Promise<RolloutRecord>;
  /** What the task shall change on its gateway. A rollout counts once there: a later task of it only brings back what is lost. */
  changeOf(tenant: Tenant, task: TaskRecord, rollout: RolloutRecord): Promise<RolloutChange>;
  /**
   * `decide` looks at the task as it is and says where it goes (undefined: nothing to do); it is asked again when somebody
   * else was quicker. `also` runs in the same transaction. `known`, the task as it was read a moment ago, saves a reading
   * where `decide` looks at nothing but its state. The task as it is then, or undefined when nothing was done.
   */
  move(
    tenant: Tenant,
    id: TaskId,
    decide: (task: TaskRecord) => Decision | undefined,
    also?: (set: RepositorySet, task: TaskRecord) => Promise<void>,
    known?: TaskRecord,
  ): Promise<TaskRecord | undefined>;
  /** Puts another task in the place of one that waits, under a new number. Undefined when it waits no more. */
  renew(tenant: Tenant, task: TaskRecord, rollout: RolloutRecord, why: string): Promise<TaskRecord | undefined>;
}

const COMPARE_AND_SWAP_TRIES = 5;
const KEPT_TIMINGS = 1000;

export function createTaskMoves(deps: {
  repositories: Repositories;
  events: EventBus;
  now: () => number;
  listener: Pick<TaskListener, 'changed'>;
}): TaskMoves {
  const { repositories, events, now, listener } = deps;

  function announce(tenant: Tenant, task: TaskRecord): void {
    events.publish(tenant, { type: 'task', task: presentTask(task) });
    listener.changed(tenant, task);
  }

  async function rolloutOf(tenant: Tenant, task: TaskRecord, set?: RepositorySet): Promise<RolloutRecord> {
    const rollout = await (set ?? repositories.read).rollouts.find(tenant, task.rollout);
    if (!rollout)
      throw new LeonoreError('rollout.unknown', `task ${task.id} belongs to rollout ${task.rollout}, which is gone`);
    return rollout;
  }

  /** They never change, so that one reading for each rollout is enough. */
  const timings = new Map<string, Timing>();
  async function timingOf(tenant: Tenant, task: TaskRecord, set: RepositorySet): Promise<Timing> {
    const key = `${tenant}/${task.rollout}`;
    const known = timings.get(key) ?? (await rolloutOf(tenant, task, set));
    if (timings.size >= KEPT_TIMINGS) timings.clear();
    timings.set(key, { deadlines: known.deadlines, handling: known.handling });
    return known;
  }

  return {
    async own(tenant, gateway, id) {
      const task = await repositories.read.rollouts.findTask(tenant, id);
      if (task?.gateway !== gateway) throw new LeonoreError('task.unknown', `gateway ${gateway} has no task ${id}`);
      return task;
    },
    rolloutOf: (tenant, task) => rolloutOf(tenant, task),
    async changeOf(tenant, { rollout: id, gateway }, rollout) {
      const reached = await repositories.read.rollouts.gatewaysWithTask(tenant, id, [gateway], ['succeeded']);
      return reached.has(gateway) ? NO_CHANGE : rollout;
    },
    async move(tenant, id, decide, also, known) {
      for (let tries = 0; tries < COMPARE_AND_SWAP_TRIES; tries++) {
        const outcome = await repositories.write(async (set) => {
          const task = tries === 0 && known ? known : await set.rollouts.findTask(tenant, id);
          const decision = task && decide(task);
          if (!task || !decision) return { done: true, task: undefined } as const;
          const { to, change = {} } = decision;
          const deadlineAt =
            to === task.state || isTerminal(to) ? undefined : deadline(await timingOf(tenant, task, set), to, now());
          const moved = await set.rollouts.transition(tenant, id, task.state, to, now(), { ...change, deadlineAt });
          if (moved) await also?.(set, moved);
          return { done: moved !== undefined, task: moved } as const;
        });
        if (outcome.task) announce(tenant, outcome.task);
        if (outcome.done) return outcome.task;
      }
      throw new LeonoreError('server.internal', `task ${id} changed under every try to move it`);
    },
    async renew(tenant, task, rollout, why) {
      const { id, message: _message, deliveredBy: _by, endedAt: _end, ...same } = task;
      const at = now();
      const deadlineAt = deadline(rollout, 'pending', at);
      const changed = await repositories.write(async (set) => {
        const old = await set.rollouts.transition(tenant, id, 'pending', 'canceled', at, { messages: [why] });
        if (!old) return [];
        const fresh = { ...same, createdAt: at, updatedAt: at, deadlineAt };
        return [old, ...(await set.rollouts.insertTasks(tenant, [fresh]))];
      });
      for (const each of changed) announce(tenant, each);
      return changed[1];
    },
  };
}

/** Desired state changes with success alone, and in the same transaction. */
export async function applyDesired(
  tenant: Tenant,
  set: RepositorySet,
  task: TaskRecord,
  { applications, remove }: RolloutChange,
): Promise<void> {
  const desired = applications.map((application) => ({ ...application, rollout: task.rollout }));
  await set.gateways.changeDesired(tenant, [task.gateway], { set: desired, remove });
}

/** When a task that enters `state` now fails by itself, milliseconds since 1970. */
export function deadline({ deadlines, handling }: Timing, state: TaskState, now: number): number | undefined {
  switch (state) {
    case 'pending':
    case 'offered':
    case 'downloading':
    case 'installing':
      return phaseStart(handling, now) + deadlines[state] * 1000;
    case 'succeeded':
    case 'failed':
    case 'rejected':
    case 'canceled':
      return undefined;
    default:
      return state satisfies never;
  }
}
