/**
 * Tasks along their state machine (protocol/task.ts): what gateways ask and report of them, how operators and deadlines
 * end them. Every change goes through `TaskMoves.move`.
 */
import { isTerminal, type GatewayId, type TaskId, type Tenant } from '@leonore/protocol';
import type { EventBus } from '../events/mod.ts';
import type { TaskHistory } from '../gateway-handler/mod.ts';
import type { Deltas, PackageBuilder } from '../package-builder/mod.ts';
import type { Repositories, TaskRecord } from '../repositories/mod.ts';
import { createNoteQuota } from './note-quota.ts';
import type { Planner } from './planner.ts';
import { createTaskConfirmations, type TaskConfirmations } from './task-confirmations.ts';
import { createTaskMoves, type TaskListener } from './task-moves.ts';
import { createTaskOffers, type TaskOffers } from './task-offers.ts';
import { createTaskReports, type TaskReports } from './task-reports.ts';

export interface Tasks extends TaskOffers, TaskReports, TaskConfirmations {
  installedTask(tenant: Tenant, gateway: GatewayId): Promise<TaskId | undefined>;
  history(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskHistory>;
  /** Ends what the gateway has not seen; asks the gateway to stop what it has. The task as it is then. */
  cancel(tenant: Tenant, task: TaskRecord, why: string): Promise<TaskRecord | undefined>;
  /** Ends a task without the gateway: its deadline passed, the gateway is gone. Not when it changed since. */
  end(tenant: Tenant, task: TaskRecord, state: 'failed' | 'canceled', why: string): Promise<void>;
}

export function createTasks(deps: {
  repositories: Repositories;
  builder: PackageBuilder;
  deltas?: Pick<Deltas, 'offers'>;
  planner: Planner;
  events: EventBus;
  now: () => number;
  listener: TaskListener;
}): Tasks {
  const { repositories, listener } = deps;
  const quota = createNoteQuota(deps);
  const moves = createTaskMoves({ ...deps, listener: { changed } });

  function changed(tenant: Tenant, task: TaskRecord): void {
    if (isTerminal(task.state)) quota.forget(task.id);
    listener.changed(tenant, task);
  }

  return {
    ...createTaskOffers({ ...deps, moves }),
    ...createTaskReports({ ...deps, moves, quota }),
    ...createTaskConfirmations({ moves, quota }),
    async installedTask(tenant, gateway) {
      return (await repositories.read.rollouts.lastInstalledTask(tenant, gateway))?.id;
    },
    async history(tenant, gateway, id) {
      await moves.own(tenant, gateway, id);
      const transitions = await repositories.read.rollouts.transitions(tenant, id);
      const messages = transitions.flatMap((transition) => transition.messages).toReversed();
      return { status: transitions.at(-1)?.state.toUpperCase() ?? 'UNKNOWN', messages };
    },
    async cancel(tenant, task, why) {
      const moved = await moves.move(tenant, task.id, ({ state, canceling }) => {
        if (isTerminal(state) || canceling) return undefined;
        if (state === 'pending') return { to: 'canceled', change: { messages: [why] } };
        return { to: state, change: { canceling: true, messages: [why] } };
      });
      if (moved?.canceling && !isTerminal(moved.state)) listener.canceling(tenant, moved);
      return moved;
    },
    async end(tenant, task, to, why) {
      await moves.move(tenant, task.id, ({ state, canceling }) =>
        state === task.state && canceling === task.canceling ? { to, change: { messages: [why] } } : undefined,
      );
    },
  };
}
