/**
 * Deadlines: each phase of a task has one, and a gateway that falls silent does not hold its rollout. One timer for the
 * node and one indexed query, however many tasks wait.
 */
import type { Tenant } from '@leonore/protocol';
import type { Repositories, TaskRecord } from '../repositories/mod.ts';
import type { Tasks } from './tasks.ts';

const BATCH = 200;

export function createDeadlineWatch(
  deps: { repositories: Repositories; tasks: Pick<Tasks, 'end'>; now: () => number; onError: (error: unknown) => void },
  options: { intervalMs: number },
): AsyncDisposable {
  const { repositories, now } = deps;
  let running: Promise<void> | undefined;

  async function endDue(): Promise<void> {
    const due = await repositories.read.rollouts.dueTasks(now(), BATCH);
    // At once, so that they share their commits; one that cannot be ended does not hold the others.
    const ends = await Promise.allSettled(due.map(({ tenant, task }) => endOne(tenant, task)));
    for (const end of ends) if (end.status === 'rejected') deps.onError(end.reason);
  }

  async function endOne(tenant: Tenant, task: TaskRecord): Promise<void> {
    const gateway = await repositories.read.gateways.find(tenant, task.gateway);
    const seen =
      gateway?.lastSeenAt === undefined
        ? 'was never seen'
        : `was last seen ${duration(now() - gateway.lastSeenAt)} ago`;
    if (task.canceling)
      await deps.tasks.end(tenant, task, 'canceled', `canceled; the gateway never confirmed it (it ${seen})`);
    else await deps.tasks.end(tenant, task, 'failed', await reason(tenant, task, seen));
  }

  async function reason(tenant: Tenant, task: TaskRecord, seen: string): Promise<string> {
    const rollout = await repositories.read.rollouts.find(tenant, task.rollout);
    const state = task.state as keyof NonNullable<typeof rollout>['deadlines'];
    const allowed = duration((rollout?.deadlines[state] ?? 0) * 1000);
    return `deadline passed: ${PHASE[state]} for ${allowed} without an end; the gateway ${seen}`;
  }

  const timer = setInterval(() => {
    running ??= endDue()
      .catch(deps.onError)
      .finally(() => {
        running = undefined;
      });
  }, options.intervalMs);
  timer.unref();

  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}

const PHASE = {
  pending: 'it waited for the gateway to fetch it',
  offered: 'it was offered',
  downloading: 'it was downloading',
  installing: 'it was installing',
};

/** `45 s`, `12 min`, `3 h`, `7 d`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
