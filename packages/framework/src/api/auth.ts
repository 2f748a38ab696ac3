/** Who may use the user-facing API: whoever has the operator's token. */
import { LeonoreError } from '@leonore/protocol';
import type { FastifyRequest } from 'fastify';
import { hashToken, sameToken } from '../gateway-management/mod.ts';

export function createOperatorAuth(adminTokenHash: string): {
  requireOperator: (request: FastifyRequest) => Promise<void>;
} {
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
      if (!sameToken(hashToken(token), adminTokenHash)) {
        return Promise.reject(
          new LeonoreError(
            'auth.wrong',
            "this token is not valid; the present one is in the file admin-token of the node's data folder",
          ),
        );
      }
      return Promise.resolve();
    },
  };
}
