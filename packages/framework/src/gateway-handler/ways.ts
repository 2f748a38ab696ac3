/** All ways of pushing as one: a gateway is told on each on which it is connected, and counts as connected as long as one is. */
import type { GatewayId, Tenant } from '@leonore/protocol';
import type { GatewayManagement } from '../gateway-management/mod.ts';
import type { GatewayPush } from './contract.ts';

export function pushOverAll(ways: () => readonly GatewayPush[]): GatewayPush {
  const some = async (told: readonly Promise<boolean>[]): Promise<boolean> => (await Promise.all(told)).includes(true);
  return {
    isConnected: (tenant, id) => ways().some((way) => way.isConnected(tenant, id)),
    pushTask: (tenant, id, delivery) => some(ways().map((way) => way.pushTask(tenant, id, delivery))),
    pushCancel: (tenant, id, task) => some(ways().map((way) => way.pushCancel(tenant, id, task))),
  };
}

/** For one way of several: the end of its connection is none as long as another one stands. */
export function unlessElsewhere(
  gateways: GatewayManagement,
  other: () => Pick<GatewayPush, 'isConnected'> | undefined,
): GatewayManagement {
  return {
    ...gateways,
    disconnected: async (tenant: Tenant, id: GatewayId, node: string) => {
      if (!other()?.isConnected(tenant, id)) await gateways.disconnected(tenant, id, node);
    },
  };
}
