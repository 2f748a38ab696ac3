/** What gateways report of their tasks: DDI's feedback, to the deployment and to a cancelation. */
import {
  canMove,
  isTerminal,
  LeonoreError,
  type DdiFeedback,
  type GatewayId,
  type PackageContents,
  type TaskId,
  type TaskState,
  type Tenant,
} from '@leonore/protocol';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { Repositories, RepositorySet, TaskRecord } from '../repositories/mod.ts';
import { checkMessageCount, factsOf, installedAfter, messagesOf, missingAfter, stateOf } from './feedback.ts';
import { leftOut } from './handling.ts';
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
  readonly manifest: PackageContents;
  readonly change: RolloutChange;
}

/** Where a report leads, and what is to be said about it. */
interface Meaning {
  readonly target: TaskState | undefined;
  readonly condition?: 'downloaded';
  readonly note?: string;
}

export function createTaskReports(deps: {
  repositories: Repositories;
  builder: PackageBuilder;
  moves: TaskMoves;
  quota: NoteQuota;
  now: () => number;
}): TaskReports {
  const { repositories, builder, moves, quota, now } = deps;

  /** DDI's table, and what the rollout's handling makes of it. */
  async function meaningOf(tenant: Tenant, task: TaskRecord, status: DdiFeedback['status']): Promise<Meaning> {
    const target = stateOf(status);
    if (target !== 'succeeded' && status.execution !== 'downloaded') return { target };
    const { handling } = await moves.rolloutOf(tenant, task);
    if (status.execution === 'downloaded')
      return handling?.mode === 'download-only'
        ? {
            target: 'succeeded',
            condition: 'downloaded',
            note: 'the gateway has downloaded it, and does not install it',
          }
        : { target };
    const note = leftOut(handling, task, now());
    return note === undefined ? { target } : { target: undefined, note };
  }

  /** The end of a task that had ended with the download: it counts once. */
  async function settleDownloaded(tenant: Tenant, task: TaskRecord, { status, installed }: DdiFeedback): Promise<void> {
    const failed = status.result.finished === 'failure';
    const messages = [...messagesOf(status), failed ? 'installing it later failed' : 'it was installed later'];
    const { manifest } = await successOf(tenant, task);
    const change = await moves.rolloutOf(tenant, task);
    const settled = await repositories.write(async (set) => {
      const first = await set.rollouts.settleDownloaded(tenant, task.id, now(), messages);
      if (first && !failed) await settle(tenant, set, task, installed, { manifest, change });
      return first;
    });
    if (!settled) throw new LeonoreError('task.closed', `task ${task.id} has ended: ${task.state}`);
  }

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
    if (installed) {
      const known = new Map(gateway.profile.installed?.map((one) => [`${one.name}@${one.version}`, one]));
      // How an application is doing the gateway tells in its profile, which may have come before this report.
      const merged = installed.map((one) => {
        const told = known.get(`${one.name}@${one.version}`);
        return told ? { ...told, requested: one.requested } : one;
      });
      await set.gateways.setProfile(tenant, task.gateway, { ...gateway.profile, installed: merged });
    }
    if (gateway.origin !== 'enrolled' && task.state === 'succeeded')
      await set.gateways.setAttributesKnown(tenant, task.gateway, false);
    if (success && task.state === 'succeeded') await applyDesired(tenant, set, task, success.change);
  }

  return {
    async feedback(tenant, gateway, id, feedback) {
      const { status, installed } = feedback;
      const task = await moves.own(tenant, gateway, id);
      if (task.condition === 'unconfirmed')
        throw new LeonoreError('task.unknown', `task ${id} waits for a confirmation first`);
      if (task.condition === 'downloaded' && status.execution === 'closed')
        return settleDownloaded(tenant, task, feedback);
      if (task.state === 'pending')
        throw new LeonoreError('task.unknown', `task ${id} was not offered to gateway ${gateway} yet`);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      const meaning = await meaningOf(tenant, task, status);
      let { target } = meaning;
      if (target === undefined || !isTerminal(target)) checkMessageCount(status.details);
      const messages = messagesOf(status);
      if (meaning.note !== undefined) messages.push(meaning.note);
      // SWUpdate says so with every poll.
      if (target === undefined && meaning.note !== undefined && task.message === meaning.note) return;
      const success = target === 'succeeded' && !meaning.condition ? await successOf(tenant, task) : undefined;
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
          const to = target !== undefined && canMove(state, target) ? target : state;
          const { condition } = meaning;
          return { to, change: { messages, message, condition, facts: factsOf(feedback, to) } };
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
      if (task.state !== 'canceled' && (!task.canceling || isTerminal(task.state)))
        throw new LeonoreError('task.unknown', `task ${id} is not being canceled`);
    },
    async cancelFeedback(tenant, gateway, id, { status }) {
      const task = await moves.own(tenant, gateway, id);
      // Its confirmation came twice, or late.
      if (task.state === 'canceled') return;
      if (!task.canceling || isTerminal(task.state))
        throw new LeonoreError('task.state', `task ${id} is not being canceled`);
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
