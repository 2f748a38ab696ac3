import {
  packageDetailsSchema,
  packageIdSchema,
  packageSummarySchema,
  pageQuerySchema,
  pageSchema,
  problemSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';
import { mutablePage } from './artifacts.ts';

const tags = ['packages'];

export function packageRoutes(app: App, { builder, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/packages',
    {
      schema: {
        tags,
        summary: 'List composed packages',
        querystring: pageQuerySchema,
        response: { 200: pageSchema(packageSummarySchema) },
      },
    },
    async (request) => mutablePage(await builder.list(tenantOf(request), request.query)),
  );
  app.get(
    '/api/v1/packages/:id',
    {
      schema: {
        tags,
        summary: 'A package with its manifest',
        params: z.object({ id: packageIdSchema }),
        response: { 200: packageDetailsSchema, 404: problemSchema },
      },
    },
    async (request) => {
      const { summary, manifest } = await builder.find(tenantOf(request), request.params.id);
      return { ...summary, manifest };
    },
  );
}
