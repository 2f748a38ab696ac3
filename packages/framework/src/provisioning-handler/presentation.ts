/** Records as the user-facing API and the event stream show them. Pure. */
import type { Rollout, Task, TaskCounts, TaskTransition } from '@leonore/protocol';
import type { RolloutRecord, TaskRecord } from '../repositories/mod.ts';

export function presentTask(record: TaskRecord, transitions?: readonly TaskTransition[]): Task {
  const { classKey: _class, deadlineAt: _deadline, ...task } = record;
  return transitions === undefined ? task : { ...task, transitions: [...transitions] };
}

export function presentRollout(record: RolloutRecord, counts: Omit<TaskCounts, 'blocked'>): Rollout {
  const { planCursor: _cursor, blockers, ...rollout } = record;
  const blocked = blockers.reduce((sum, blocker) => sum + blocker.gateways, 0);
  return {
    ...rollout,
    applications: [...rollout.applications],
    remove: [...rollout.remove],
    counts: { ...counts, total: counts.total + blocked, blocked },
    ...(blockers.length > 0 ? { blockers: [...blockers] } : {}),
  };
}
