/**
 * How much a gateway may say of one task before its end (DDI: 1000 status entries): a device that reports in a loop must
 * not fill the database. What moves a task, and its end, is always taken.
 */
import { LeonoreError, type TaskId, type Tenant } from '@leonore/protocol';
import type { Repositories } from '../repositories/mod.ts';

const MAX_ENTRIES = 1000;
const MAX_CHARACTERS = 1_000_000;

export interface NoteQuota {
  /** Counts one more report. @throws quota.exceeded */
  take(tenant: Tenant, task: TaskId, messages: readonly string[]): Promise<void>;
  /** The task has ended. */
  forget(task: TaskId): void;
}

interface Said {
  entries: number;
  characters: number;
}

export function createNoteQuota({ repositories }: { repositories: Repositories }): NoteQuota {
  /** Of tasks that are under way and said something in this run of the node. */
  const counted = new Map<TaskId, Promise<Said>>();

  async function count(tenant: Tenant, task: TaskId): Promise<Said> {
    const transitions = await repositories.read.rollouts.transitions(tenant, task);
    return {
      entries: transitions.length,
      characters: transitions.reduce((sum, { messages }) => sum + length(messages), 0),
    };
  }

  return {
    async take(tenant, task, messages) {
      const counting = counted.get(task) ?? count(tenant, task);
      counted.set(task, counting);
      counting.catch(() => counted.delete(task));
      const said = await counting;
      if (said.entries >= MAX_ENTRIES || said.characters >= MAX_CHARACTERS) {
        throw new LeonoreError(
          'quota.exceeded',
          `of task ${task} was said as much as is kept (${MAX_ENTRIES} reports, ${MAX_CHARACTERS} characters); only its end is still taken`,
        );
      }
      said.entries++;
      said.characters += length(messages);
    },
    forget: (task) => void counted.delete(task),
  };
}

function length(messages: readonly string[]): number {
  return messages.reduce((sum, message) => sum + message.length, 0);
}
