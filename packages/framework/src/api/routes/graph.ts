/** What the graph of artifacts and gateways is asked: who uses an artifact, what it brings in, what gateways would get. */
import {
  artifactNameSchema,
  artifactNeedsSchema,
  artifactUsageSchema,
  explainAnswerSchema,
  explainClassesAnswerSchema,
  explainRequestSchema,
  problemSchema,
  rangeSchema,
  versionSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';

const tags = ['artifacts'];

export function graphRoutes(app: App, { provisioning, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/artifacts/:name/usage',
    {
      schema: {
        tags,
        summary: 'Who runs an artifact and who needs it',
        description:
          'Gateways are counted by what they report as installed. `GET /api/v1/gateways?selector=app/NAME=VERSION` lists them all.',
        params: z.object({ name: artifactNameSchema }),
        querystring: z.object({
          range: rangeSchema.optional().meta({ description: 'Only these versions, such as `1.2.28` or `<1.3`' }),
          transitive: z
            .enum(['true', 'false'])
            .default('false')
            .meta({ description: 'Also who needs those who need it, and so on' }),
        }),
        response: { 200: artifactUsageSchema, 400: problemSchema, 404: problemSchema },
      },
    },
    (request) => {
      const { range, transitive } = request.query;
      return provisioning.graph.usage(tenantOf(request), request.params.name, {
        range,
        transitive: transitive === 'true',
      });
    },
  );
  app.get(
    '/api/v1/artifacts/:name/:version/needs',
    {
      schema: {
        tags,
        summary: 'What a version brings in',
        description:
          'What it needs, the versions that would do, and what the newest of those needs in turn, whatever the gateway.',
        params: z.object({ name: artifactNameSchema, version: versionSchema }),
        response: { 200: artifactNeedsSchema, 400: problemSchema, 404: problemSchema },
      },
    },
    (request) => provisioning.graph.needs(tenantOf(request), request.params.name, request.params.version),
  );
  app.post(
    '/api/v1/explain',
    {
      schema: {
        tags: ['rollouts'],
        summary: 'What a gateway, or each class of a selection, would get, or why it cannot',
        description:
          'With `gateway` the answer is for that one. With `selector` there is one answer for each class of gateways: at most 100,000 gateways are looked at and 200 classes solved; `cutOff` says what was left out.',
        body: explainRequestSchema,
        response: {
          200: z.union([explainAnswerSchema, explainClassesAnswerSchema]),
          400: problemSchema,
          404: problemSchema,
          409: problemSchema,
        },
      },
    },
    async (request) => {
      const { gateway, selector = '*', applications, upgrade } = request.body;
      if (gateway === undefined) return provisioning.explainClasses(tenantOf(request), selector, applications, upgrade);
      return { gateway, resolution: await provisioning.explain(tenantOf(request), gateway, applications, upgrade) };
    },
  );
}
