/** What gateways report of their tasks: DDI's feedback, to the deployment and to a cancelation. */
import {
  canMove,
  isTerminal,
  LeonoreError,
  type DdiFeedback,
  type GatewayId,
  type PackageManifest,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { RepositorySet, TaskRecord } from '../repositories/mod.ts';
import { installedAfter, messagesOf, missingAfter, stateOf } from './feedback.ts';
import type { NoteQuota } from './note-quota.ts';
import { applyDesired, type TaskMoves } from './task-moves.ts';
import type { RolloutChange } from './wanted.ts';

export interface TaskReports {
  feedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
  cancelRequested(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
  cancelFeedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
}

/** What a success brought and changes. */
interface Success {
  readonly manifest: PackageManifest;
  readonly change: RolloutChange;
}

export function createTaskReports(deps: { builder: PackageBuilder; moves: TaskMoves; quota: NoteQuota }): TaskReports {
  const { builder, moves, quota } = deps;

  async function successOf(tenant: Tenant, task: TaskRecord): Promise<Success> {
    if (!task.package) throw new LeonoreError('task.unknown', `task ${task.id} has no package yet`);
    const { manifest } = await builder.find(tenant, task.package);
    return { manifest, change: await moves.changeOf(tenant, task, await moves.rolloutOf(tenant, task)) };
  }

  /** With the end of a task, what is on the gateway and what it shall have change in one transaction. */
  async function settle(
    tenant: Tenant,
    set: RepositorySet,
    task: TaskRecord,
    reported: DdiFeedback['installed'],
    success: Success | undefined,
  ): Promise<void> {
    const gateway = await set.gateways.find(tenant, task.gateway);
    if (!gateway) return;
    const installed = reported ?? (success && installedAfter(gateway.profile.installed ?? [], success.manifest));
    if (installed) await set.gateways.setProfile(tenant, task.gateway, { ...gateway.profile, installed });
    if (success && task.state === 'succeeded') await applyDesired(tenant, set, task, success.change);
  }

  return {
    async feedback(tenant, gateway, id, { status, installed }) {
      const task = await moves.own(tenant, gateway, id);
      if (task.state === 'pending')
        throw new LeonoreError('task.unknown', `task ${id} was not offered to gateway ${gateway} yet`);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      const messages = messagesOf(status);
      let target = stateOf(status);
      const success = target === 'succeeded' ? await successOf(tenant, task) : undefined;
      const missing = success && installed ? missingAfter(success.manifest, installed) : [];
      if (missing.length > 0) {
        target = 'failed';
        messages.push(`the gateway reports success, but what it says it has lacks ${missing.join(', ')}`);
      }
      const advances = target !== undefined && canMove(task.state, target);
      // It says nothing new: the download was noted when the gateway fetched the first byte, say.
      if (!advances && messages.length === 0) return;
      if (!advances) await quota.take(tenant, id, messages);
      // A gateway begins with the cause and ends with what it did about it.
      const message = target === 'failed' && missing.length === 0 ? messages[0] : messages.at(-1);
      const moved = await moves.move(
        tenant,
        id,
        ({ state }) => {
          if (isTerminal(state)) return undefined;
          return { to: target !== undefined && canMove(state, target) ? target : state, change: { messages, message } };
        },
        async (set, after) => {
          if (isTerminal(after.state)) await settle(tenant, set, after, installed, success);
        },
        task,
      );
      if (moved) return;
      quota.forget(id);
      throw new LeonoreError('task.closed', `task ${id} has ended meanwhile`);
    },

    async cancelRequested(tenant, gateway, id) {
      const task = await moves.own(tenant, gateway, id);
      if (!task.canceling || isTerminal(task.state))
        throw new LeonoreError('task.unknown', `task ${id} is not being canceled`);
    },
    async cancelFeedback(tenant, gateway, id, { status }) {
      const task = await moves.own(tenant, gateway, id);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      if (!task.canceling) throw new LeonoreError('task.state', `task ${id} is not being canceled`);
      const messages = messagesOf(status);
      const confirmed = status.execution === 'closed' && status.result.finished !== 'failure';
      const refused =
        status.execution === 'rejected' || (status.execution === 'closed' && status.result.finished === 'failure');
      if (!confirmed && !refused) await quota.take(tenant, id, messages);
      await moves.move(tenant, id, ({ state, canceling }) => {
        if (isTerminal(state) || !canceling) return undefined;
        if (confirmed) return { to: 'canceled', change: { messages: [...messages, 'the gateway stopped it'] } };
        if (refused)
          return {
            to: state,
            change: { canceling: false, messages: [...messages, 'the gateway goes on: it cannot stop any more'] },
          };
        return { to: state, change: { messages } };
      });
    },
  };
}
