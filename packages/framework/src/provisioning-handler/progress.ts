/**
 * A rollout's progress: gathers the changes of its tasks and looks at the whole once in a while, so that a report costs no
 * query that grows with the fleet. Ends a rollout when its last task has ended.
 */
import type { Rollout, RolloutId, Tenant } from '@leonore/protocol';
import type { EventBus } from '../events/mod.ts';
import type { Repositories, RepositorySet } from '../repositories/mod.ts';
import { presentRollout } from './presentation.ts';

export interface Progress extends AsyncDisposable {
  /** Something about this rollout's tasks is new. */
  touch(tenant: Tenant, rollout: RolloutId): void;
}

const UNSUCCESSFUL = ['failed', 'rejected', 'canceled'] as const;

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
    const view = await viewOf(repositories.read, tenant, id);
    if (!view) return;
    // Looked at again under the write: a gateway may have joined, or the operator asked for a retry meanwhile.
    const ended =
      isOver(view) &&
      (await repositories.write(async (set) => {
        const current = await viewOf(set, tenant, id);
        return current && isOver(current) && (await end(set, tenant, current));
      }));
    const shown = ended ? await viewOf(repositories.read, tenant, id) : view;
    if (shown) events.publish(tenant, { type: 'rollout', rollout: shown });
  }

  async function end(set: RepositorySet, tenant: Tenant, view: Rollout): Promise<boolean> {
    const state = (await reachedAll(set, tenant, view)) ? 'succeeded' : 'failed';
    return set.rollouts.setState(tenant, view.id, ['running', 'paused'], state, now());
  }

  function lookAtAll(): void {
    timer = undefined;
    const batch = touched;
    touched = new Map();
    running = running.then(async () => {
      for (const { tenant, rollout } of batch.values()) {
        await look(tenant, rollout).catch((error: unknown) => {
          deps.onError(error);
          // Its last change may have been the one that ends it.
          touch(tenant, rollout);
        });
      }
    });
  }

  function touch(tenant: Tenant, rollout: RolloutId): void {
    if (closed) return;
    touched.set(`${tenant}/${rollout}`, { tenant, rollout });
    timer ??= setTimeout(lookAtAll, options.intervalMs);
  }

  return {
    touch,
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

async function viewOf(set: RepositorySet, tenant: Tenant, id: RolloutId): Promise<Rollout | undefined> {
  const rollout = await set.rollouts.find(tenant, id);
  return rollout && presentRollout(rollout, await set.rollouts.counts(tenant, id));
}

function isOver({ state, planned, counts }: Rollout): boolean {
  const active = counts.pending + counts.offered + counts.downloading + counts.installing;
  return (state === 'running' || state === 'paused') && planned && active === 0;
}

/** A gateway that failed and succeeded when it was tried again counts as reached. */
async function reachedAll(set: RepositorySet, tenant: Tenant, { id, counts }: Rollout): Promise<boolean> {
  if (counts.blocked > 0) return false;
  if (counts.failed + counts.rejected + counts.canceled === 0) return true;
  let cursor: string | undefined;
  do {
    const page = await set.rollouts.listTasks(tenant, { rollout: id, states: UNSUCCESSFUL, limit: 500, cursor });
    const gateways = [...new Set(page.items.map(({ gateway }) => gateway))];
    const reached = await set.rollouts.gatewaysWithTask(tenant, id, gateways, ['succeeded']);
    if (reached.size < gateways.length) return false;
    cursor = page.next;
  } while (cursor !== undefined);
  return true;
}
