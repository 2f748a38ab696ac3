/** Push: the task goes out over the gateway's connection. Not connected here, or lost on the way: the next pull has it. */
import { isLeonoreError } from '@leonore/protocol';
import type { GatewayPush } from '../../gateway-handler/mod.ts';
import type { Tasks } from '../tasks.ts';
import type { ProvisioningStrategy } from './strategy.ts';

export function createPushStrategy(deps: {
  push: () => GatewayPush | undefined;
  tasks: Pick<Tasks, 'deliverCurrent' | 'cancelRequested'>;
}): ProvisioningStrategy {
  return {
    async offer(tenant, gateway) {
      const push = deps.push();
      if (!push?.isConnected(tenant, gateway)) return;
      const work = await deps.tasks.deliverCurrent(tenant, gateway, 'push').catch(notOnOffer);
      if (work?.kind === 'cancel') await push.pushCancel(tenant, gateway, work.task);
      if (work?.kind !== 'deployment') return;
      await push.pushTask(tenant, gateway, work.delivery);
      // Canceled meanwhile, its cancel may have gone out before it.
      const { task } = work.delivery;
      const canceled = await deps.tasks.cancelRequested(tenant, gateway, task).then(() => true, notOnOffer);
      if (canceled) await push.pushCancel(tenant, gateway, task);
    },
    async cancel(tenant, gateway, task) {
      await deps.push()?.pushCancel(tenant, gateway, task);
    },
  };
}

/** Somebody was quicker: it ended, is held back, or is not being canceled. */
function notOnOffer(error: unknown): undefined {
  if (!isLeonoreError(error, 'task.unknown')) throw error;
}
