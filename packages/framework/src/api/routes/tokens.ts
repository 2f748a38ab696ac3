import { createTokenSchema, enrolmentTokenSchema, problemSchema } from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';

const tags = ['enrolment'];

export function tokenRoutes(app: App, { gateways, tenantOf }: ApiDeps): void {
  app.post(
    '/api/v1/enrolment-tokens',
    {
      schema: {
        tags,
        summary: 'Make a token that gateways enrol with',
        description: 'The token itself is in this answer only: it is kept as a hash.',
        body: createTokenSchema,
        response: { 201: enrolmentTokenSchema },
      },
    },
    async (request, reply) => reply.code(201).send(await gateways.createToken(tenantOf(request), request.body)),
  );
  app.get(
    '/api/v1/enrolment-tokens',
    {
      schema: {
        tags,
        summary: 'List enrolment tokens',
        response: { 200: z.object({ items: z.array(enrolmentTokenSchema) }) },
      },
    },
    async (request) => ({ items: [...(await gateways.listTokens(tenantOf(request)))] }),
  );
  app.delete(
    '/api/v1/enrolment-tokens/:id',
    {
      schema: {
        tags,
        summary: 'Revoke an enrolment token',
        params: z.object({ id: z.string() }),
        response: { 204: z.null(), 404: problemSchema },
      },
    },
    async (request, reply) => {
      await gateways.revokeToken(tenantOf(request), request.params.id);
      return reply.code(204).send(null);
    },
  );
}
