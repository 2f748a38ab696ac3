/**
 * A rollout's progress: gathers the changes of its tasks and looks at the whole once in a while, so that a report costs no
 * query that grows with the fleet. Ends a rollout when its last task has ended.
 */
import type { RolloutId, Tenant } from '@leonore/protocol';
import type { EventBus } from '../events/mod.ts';
import type { Repositories } from '../repositories/mod.ts';
import { presentRollout } from './presentation.ts';

export interface Progress extends AsyncDisposable {
  /** Something about this rollout's tasks is new. */
  touch(tenant: Tenant, rollout: RolloutId): void;
}

export function createProgress(
  deps: { repositories: Repositories; events: EventBus; now: () => number; onError: (error: unknown) => void },
  options: { intervalMs: number },
): Progress {
  const { repositories, events, now } = deps;
  let touched = new Map<string, { tenant: Tenant; rollout: RolloutId }>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let closed = false;

  async function look(tenant: Tenant, id: RolloutId): Promise<void> {
    const [rollout, counts] = await Promise.all([
      repositories.read.rollouts.find(tenant, id),
      repositories.read.rollouts.counts(tenant, id),
    ]);
    if (!rollout) return;
    const view = presentRollout(rollout, counts);
    const { pending, offered, downloading, installing, failed, rejected, canceled, blocked } = view.counts;
    const over = rollout.planned && pending + offered + downloading + installing === 0;
    if (!over || (rollout.state !== 'running' && rollout.state !== 'paused')) {
      events.publish(tenant, { type: 'rollout', rollout: view });
      return;
    }
    const state = failed + rejected + canceled + blocked === 0 ? 'succeeded' : 'failed';
    const ended = await repositories.write(async (set) => {
      // Looked at again under the write: a gateway may have joined meanwhile.
      if (await set.rollouts.hasActiveTasks(tenant, id)) return false;
      return set.rollouts.setState(tenant, id, ['running', 'paused'], state, now());
    });
    events.publish(tenant, { type: 'rollout', rollout: ended ? { ...view, state, endedAt: now() } : view });
  }

  function lookAtAll(): void {
    timer = undefined;
    const batch = touched;
    touched = new Map();
    running = running.then(async () => {
      for (const { tenant, rollout } of batch.values()) await look(tenant, rollout).catch(deps.onError);
    });
  }

  return {
    touch(tenant, rollout) {
      if (closed) return;
      touched.set(`${tenant}/${rollout}`, { tenant, rollout });
      timer ??= setTimeout(lookAtAll, options.intervalMs);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
