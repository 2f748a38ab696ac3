/** How a task that came to nothing ends: on disk first, then told; what was downloaded for it stays for the next try. */
import type { DdiFeedback, InstalledComponent, TaskOutcome, TaskProgress } from '@leonore/protocol';
import { type AgentTask, errorText, feedback, type Logger } from '../connectivity/mod.ts';
import type { Container } from '../container/mod.ts';
import { discardOtherDownloads } from './fetch-package.ts';
import type { AgentFolder } from './folder.ts';
import type { Outbox } from './outbox.ts';
import { discardDownloads } from './part-store.ts';
import { type AgentState, installedComponents, type StateStore } from './state.ts';

export interface TaskEndsDeps {
  readonly folder: AgentFolder;
  readonly state: StateStore;
  readonly container: Container;
  readonly outbox: Pick<Outbox, 'add' | 'holdsEndOf'>;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type TaskName = Pick<AgentTask, 'actionId' | 'sequence'>;
type Said = [execution: DdiFeedback['status']['execution'], details?: readonly string[], progress?: TaskProgress];

export interface TaskEnds {
  /** As reports tell it. */
  installed(): InstalledComponent[];
  /** Of a task that goes on. */
  tell(actionId: string, ...said: Said): Promise<void>;
  /** The end of a task, on disk before it is told. */
  end(
    task: TaskName,
    execution: 'closed' | 'rejected',
    details: readonly string[],
    outcome: TaskOutcome,
  ): Promise<void>;
  /** What cannot be written is known until the agent ends, and told: no fault of the disk keeps the server waiting. */
  keep(change: Partial<AgentState>): Promise<void>;
  /** Of a task that came to nothing what was downloaded stays, for the next try: until another one has ended. */
  tidy(task?: TaskName | AgentTask): Promise<void>;
}

export function createTaskEnds(deps: TaskEndsDeps): TaskEnds {
  const { container, folder, logger, outbox, state } = deps;

  const installed = (): InstalledComponent[] => installedComponents(state.value.installed, container);

  const keep: TaskEnds['keep'] = async (change) => {
    try {
      // The disk may be full of what nobody needs any more.
      await state.save(change).catch(async () => {
        await tidy();
        await state.save(change);
      });
    } catch (error) {
      logger.error('state.json cannot be written', { error: errorText(error) });
    }
  };

  const tidy: TaskEnds['tidy'] = async (task) => {
    try {
      await discardDownloads(folder.staging);
      if (task && 'headerSha256' in task) await discardOtherDownloads(folder, task);
      else await discardDownloads(folder.downloads);
    } catch (error) {
      logger.warn('downloads cannot be deleted', { error: errorText(error) });
    }
  };

  return {
    installed,
    tell: (actionId, execution, details, progress) =>
      outbox.add(actionId, feedback(execution, 'none', { details, progress, timestamp: deps.now() })),
    async end(task, execution, details, outcome) {
      const facts = { details, outcome, installed: installed(), timestamp: deps.now() };
      const report = feedback(execution, 'failure', facts);
      logger.warn(execution === 'closed' ? 'task failed' : 'task refused', { action: task.actionId, details });
      // Before the task counts as ended: nothing would make a later run of the agent do it.
      await tidy(execution === 'closed' ? task : undefined);
      await keep({ last: { actionId: task.actionId, sequence: task.sequence, report } });
      await outbox.add(task.actionId, report);
    },
    keep,
    tidy,
  };
}
