/** Who may use the user-facing API: whoever has an operator's token. The token also says in which tenant. */
import { LeonoreError, type Tenant } from '@leonore/protocol';
import type { FastifyRequest } from 'fastify';
import { hashToken, sameToken } from '../gateway-management/mod.ts';

export interface OperatorAuth {
  requireOperator(request: FastifyRequest): Promise<void>;
  /** Of a request that was let in. */
  tenantOf(request: object): Tenant;
}

/** `tokenHashes`: of each tenant's token, hex SHA-256. */
export function createOperatorAuth(tokenHashes: ReadonlyMap<Tenant, string>): OperatorAuth {
  const tenants = new WeakMap<object, Tenant>();

  return {
    requireOperator(request) {
      const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
      if (token === undefined) {
        return Promise.reject(
          new LeonoreError(
            'auth.missing',
            "send the header Authorization: Bearer TOKEN; the token is in the file admin-token of the node's data folder",
          ),
        );
      }
      const hash = hashToken(token);
      const [tenant] = [...tokenHashes].find(([, known]) => sameToken(hash, known)) ?? [];
      if (tenant === undefined) {
        return Promise.reject(
          new LeonoreError(
            'auth.wrong',
            "this token is not valid; the present one is in the file admin-token of the node's data folder",
          ),
        );
      }
      tenants.set(request, tenant);
      return Promise.resolve();
    },
    tenantOf(request) {
      const tenant = tenants.get(request);
      if (tenant === undefined) throw new LeonoreError('auth.missing', 'the request was not authenticated');
      return tenant;
    },
  };
}
