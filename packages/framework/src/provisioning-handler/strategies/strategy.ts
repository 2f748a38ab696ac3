import type { GatewayId, RolloutStrategy, Strategy, TaskId, Tenant } from '@leonore/protocol';
import type { GatewayRecord } from '../../repositories/mod.ts';

export interface ProvisioningStrategy {
  /** There is work for this gateway: bring it there, or make it ready to be fetched. */
  offer(tenant: Tenant, gateway: GatewayId): Promise<void>;
  /** A task that the gateway may work on shall stop. */
  cancel(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
}

/** `auto`: push to who is connected and able, pull for the others. `push` to who cannot is pull as well. Pure. */
export function chooseStrategy(
  wanted: RolloutStrategy,
  gateway: Pick<GatewayRecord, 'profile' | 'connectedNode'>,
): Strategy {
  if (wanted === 'pull') return 'pull';
  if (wanted === 'push')
    return gateway.profile.strategies.includes('push') || gateway.connectedNode !== undefined ? 'push' : 'pull';
  return gateway.connectedNode === undefined ? 'pull' : 'push';
}
