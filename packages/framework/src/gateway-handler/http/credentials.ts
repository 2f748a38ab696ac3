/** DDI's Authorization header: `TargetToken TOKEN` or `GatewayToken TOKEN`; scheme names are case-sensitive. */
import { LeonoreError, type GatewayId, type Tenant } from '@leonore/protocol';
import type { GatewayManagement } from '../../gateway-management/mod.ts';

/** With `registers`, a GatewayToken makes a gateway known that is not. @throws LeonoreError auth.missing, auth.wrong */
export async function authenticateGateway(
  gateways: GatewayManagement,
  tenant: Tenant,
  id: GatewayId,
  authorization: string | undefined,
  registers = false,
): Promise<void> {
  const match = /^(TargetToken|GatewayToken) (\S+)$/.exec(authorization ?? '');
  const token = match?.[2];
  if (!match || !token) {
    throw new LeonoreError('auth.missing', 'send the header Authorization: TargetToken with the token of this gateway');
  }
  if (match[1] === 'TargetToken') await gateways.authenticate(tenant, id, token);
  else await gateways.authenticateAny(tenant, id, token, registers);
}
