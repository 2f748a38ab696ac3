/**
 * Who a gateway is: by the certificate that a proxy in front has checked, where that is set up; otherwise by the header
 * `Authorization: TargetToken TOKEN` or `GatewayToken TOKEN`. Names of schemes are case-sensitive.
 */
import { LeonoreError, type GatewayId, type Tenant } from '@leonore/protocol';
import type { FastifyRequest } from 'fastify';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { Networks } from './networks.ts';
import { proxyCredentials } from './proxy-credentials.ts';

type Authentication = Pick<GatewayManagement, 'authenticate' | 'authenticateAny' | 'authenticateSigned'>;

/**
 * With `registers`, a certificate or a GatewayToken makes a gateway known that is not. `proxies`: whose word on certificates
 * is taken. @throws LeonoreError auth.missing, auth.wrong
 */
export async function authenticateGateway(
  gateways: Authentication,
  tenant: Tenant,
  id: GatewayId,
  { headers, socket }: Pick<FastifyRequest, 'headers' | 'socket'>,
  options: { proxies?: Networks; registers?: boolean } = {},
): Promise<void> {
  const { proxies, registers = false } = options;
  const signed = proxies?.(socket.remoteAddress) ? proxyCredentials(headers) : undefined;
  if (signed?.id === id && (await gateways.authenticateSigned(tenant, id, signed.authorities, registers))) return;
  const match = /^(TargetToken|GatewayToken) (\S+)$/.exec(headers.authorization ?? '');
  const token = match?.[2];
  if (!match || !token) {
    throw new LeonoreError('auth.missing', 'send the header Authorization: TargetToken with the token of this gateway');
  }
  if (match[1] === 'TargetToken') await gateways.authenticate(tenant, id, token);
  else await gateways.authenticateAny(tenant, id, token, registers);
}
