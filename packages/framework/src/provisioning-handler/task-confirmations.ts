/** What gateways answer when they are asked for their agreement: DDI's confirmation. */
import {
  type DdiConfirmationFeedback,
  type GatewayId,
  isTerminal,
  LeonoreError,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import { checkMessageCount, messagesOf } from './feedback.ts';
import type { NoteQuota } from './note-quota.ts';
import type { TaskMoves } from './task-moves.ts';

export interface TaskConfirmations {
  confirm(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiConfirmationFeedback): Promise<void>;
}

export function createTaskConfirmations(deps: { moves: TaskMoves; quota: NoteQuota }): TaskConfirmations {
  const { moves, quota } = deps;

  return {
    async confirm(tenant, gateway, id, feedback) {
      const task = await moves.own(tenant, gateway, id);
      if (isTerminal(task.state)) throw new LeonoreError('task.closed', `task ${id} has ended: ${task.state}`);
      const confirms = feedback.confirmation === 'confirmed';
      // What was agreed to can be taken back as long as it is under way; what nobody was asked for cannot.
      const answerable = task.condition === 'unconfirmed' || (task.condition === 'confirmed' && !confirms);
      if (task.canceling || !answerable)
        throw new LeonoreError('task.unknown', `task ${id} does not wait for a confirmation`);
      checkMessageCount(feedback.details);
      const messages = [
        ...messagesOf(feedback),
        confirms ? 'the gateway confirmed it' : 'the gateway denied it; it goes on waiting for a confirmation',
      ];
      if (!confirms) await quota.take(tenant, id, messages);
      const condition = confirms ? 'confirmed' : 'unconfirmed';
      const moved = await moves.move(tenant, id, ({ state, canceling }) =>
        isTerminal(state) || canceling ? undefined : { to: state, change: { condition, messages } },
      );
      if (!moved) throw new LeonoreError('task.closed', `task ${id} has ended meanwhile`);
    },
  };
}
