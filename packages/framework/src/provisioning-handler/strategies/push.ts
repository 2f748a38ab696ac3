/** Push: the task goes out over the gateway's connection. Not connected here, or lost on the way: the next pull has it. */
import { isLeonoreError } from '@leonore/protocol';
import type { GatewayPush } from '../../gateway-handler/mod.ts';
import type { Tasks } from '../tasks.ts';
import type { ProvisioningStrategy } from './strategy.ts';

export function createPushStrategy(deps: {
  push: () => GatewayPush | undefined;
  tasks: Pick<Tasks, 'current' | 'deliver'>;
}): ProvisioningStrategy {
  return {
    async offer(tenant, gateway) {
      const push = deps.push();
      if (!push?.isConnected(tenant, gateway)) return;
      const work = await deps.tasks.current(tenant, gateway);
      if (work.kind === 'cancel') await push.pushCancel(tenant, gateway, work.task);
      if (work.kind !== 'deployment') return;
      const delivery = await deps.tasks.deliver(tenant, gateway, work.task, 'push').catch(notOnOffer);
      if (!delivery) return;
      await push.pushTask(tenant, gateway, delivery);
      // Canceled meanwhile, its cancel may have gone out before it.
      const now = await deps.tasks.current(tenant, gateway);
      if (now.kind === 'cancel' && now.task === work.task) await push.pushCancel(tenant, gateway, now.task);
    },
    async cancel(tenant, gateway, task) {
      await deps.push()?.pushCancel(tenant, gateway, task);
    },
  };
}

/** Somebody was quicker: it ended, or is held back. */
function notOnOffer(error: unknown): undefined {
  if (!isLeonoreError(error, 'task.unknown')) throw error;
}
