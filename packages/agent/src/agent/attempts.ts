/**
 * How often that was begun for a task which may end the agent, or the machine, without a word: a script that takes all
 * memory, say. Counted on the disk before it begins, so that a loop is cut. What came to an end counts no more: what is
 * being installed was unpacked.
 */
import type { AgentTask } from '../connectivity/mod.ts';
import type { AgentState, StateStore } from './state.ts';

export type Dangerous = 'unpacking' | 'installing';
type TaskName = Pick<AgentTask, 'sequence'>;

export interface Attempts {
  of(task: TaskName, what: Dangerous): number;
  /** Fulfilled when it is on the disk. @throws Error when it was begun too often. */
  count(task: TaskName, what: Dangerous): Promise<void>;
  /** For the report of the end. */
  facts(task: TaskName): { readonly attempts: number; readonly interrupted: readonly string[] };
  /** With another step in which a former run was cut off; empty when the task is not counted. */
  cutOffIn(task: TaskName, step: string): Pick<AgentState, 'attempts'>;
}

/** After this many beginnings in one state that came to no end, the task is given up. */
const MAX_ATTEMPTS = 5;

export function createAttempts(state: Pick<StateStore, 'value' | 'save'>): Attempts {
  const known = ({ sequence }: TaskName): AgentState['attempts'] => {
    const { attempts } = state.value;
    return attempts?.sequence === sequence ? attempts : undefined;
  };
  const of = (task: TaskName, what: Dangerous): number => known(task)?.[what] ?? 0;
  return {
    of,
    async count(task, what) {
      const count = of(task, what);
      if (count >= MAX_ATTEMPTS) {
        throw new Error(`${what} was begun ${count} times and the agent was stopped in the middle each time; given up`);
      }
      const counts = { unpacking: 0, installing: of(task, 'installing'), [what]: count + 1 };
      const { interrupted } = known(task) ?? {};
      await state.save({ attempts: { sequence: task.sequence, ...counts, interrupted } });
    },
    facts: (task) => ({ attempts: of(task, 'installing'), interrupted: known(task)?.interrupted ?? [] }),
    cutOffIn(task, step) {
      const found = known(task);
      return found ? { attempts: { ...found, interrupted: [...(found.interrupted ?? []), step] } } : {};
    },
  };
}
