import {
  artifactNameSchema,
  artifactSchema,
  pageQuerySchema,
  pageSchema,
  problemSchema,
  publishRequestSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';

const tags = ['artifacts'];
const builds = z.object({ items: z.array(artifactSchema) });

export function artifactRoutes(app: App, { packages, tenantOf }: ApiDeps): void {
  app.post(
    '/api/v1/artifacts',
    {
      schema: {
        tags,
        summary: 'Publish a build whose segments are uploaded',
        description:
          'A published build never changes: the same again is answered with 200, other content under the same coordinates with 409.',
        body: publishRequestSchema,
        response: { 200: artifactSchema, 201: artifactSchema, 409: problemSchema, 422: problemSchema },
      },
    },
    async (request, reply) => {
      const { artifact, created } = await packages.publish(tenantOf(request), request.body);
      return reply.code(created ? 201 : 200).send(artifact);
    },
  );
  app.get(
    '/api/v1/artifacts',
    {
      schema: {
        tags,
        summary: 'List builds',
        querystring: pageQuerySchema.extend({ name: artifactNameSchema.optional() }),
        response: { 200: pageSchema(artifactSchema) },
      },
    },
    async (request, reply) => reply.send(mutablePage(await packages.list(tenantOf(request), request.query))),
  );
  app.get(
    '/api/v1/artifacts/:name',
    {
      schema: {
        tags,
        summary: 'Builds of an artifact, newest first',
        params: z.object({ name: z.string() }),
        response: { 200: builds, 404: problemSchema },
      },
    },
    async (request) => ({ items: [...(await packages.builds(tenantOf(request), request.params.name))] }),
  );
  const versionParams = z.object({ name: z.string(), version: z.string() });
  app.get(
    '/api/v1/artifacts/:name/:version',
    {
      schema: {
        tags,
        summary: 'Builds of one version',
        params: versionParams,
        response: { 200: builds, 404: problemSchema },
      },
    },
    async (request) => ({
      items: [...(await packages.builds(tenantOf(request), request.params.name, request.params.version))],
    }),
  );
  app.post(
    '/api/v1/artifacts/:name/:version/withdraw',
    {
      schema: {
        tags,
        summary: 'Withdraw a version',
        description: 'No gateway gets it from now on; those that have it keep it until they get another.',
        params: versionParams,
        body: z.object({ reason: z.string().max(1000).default('') }),
        response: { 200: z.object({ withdrawn: z.int() }), 404: problemSchema },
      },
    },
    async (request) => ({
      withdrawn: await packages.withdraw(
        tenantOf(request),
        request.params.name,
        request.params.version,
        request.body.reason,
      ),
    }),
  );
}

/** Pages are readonly inside; what is answered is typed without. */
export function mutablePage<T>(page: { readonly items: readonly T[]; readonly next?: string | undefined }): {
  items: T[];
  next?: string;
} {
  return { items: [...page.items], ...(page.next === undefined ? {} : { next: page.next }) };
}
