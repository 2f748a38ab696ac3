/** What a package or a gateway is made of, for other tools, and how two packages differ. */
import { gatewayIdSchema, packageDiffSchema, packageIdSchema, problemSchema } from '@leonore/protocol';
import { z } from 'zod';
import { diffPackages, SBOM_MEDIA_TYPE } from '../../package-builder/mod.ts';
import type { ApiDeps, App } from '../route.ts';

const sbomQuery = z.object({
  files: z.enum(['true', 'false']).default('false').meta({ description: 'Also the files of each component' }),
});
const sbomAnswer = {
  description: 'CycloneDX 1.6',
  content: {
    [SBOM_MEDIA_TYPE]: { schema: z.looseObject({ bomFormat: z.literal('CycloneDX'), specVersion: z.literal('1.6') }) },
  },
};

export function packageDescriptionRoutes(app: App, { builder, deltas, gateways, sboms, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/packages/:id/diff',
    {
      schema: {
        tags: ['packages'],
        summary: 'How another package differs from this one, and what it costs a gateway that has this one',
        params: z.object({ id: packageIdSchema }),
        querystring: z.object({ to: packageIdSchema.meta({ description: 'The other package' }) }),
        response: { 200: packageDiffSchema, 404: problemSchema },
      },
    },
    async (request) => {
      const from = await builder.find(tenantOf(request), request.params.id);
      const to = await builder.find(tenantOf(request), request.query.to);
      return await diffPackages(from, to, deltas.bytes);
    },
  );
  app.get(
    '/api/v1/packages/:id/sbom',
    {
      schema: {
        tags: ['packages'],
        summary: "A package's bill of materials",
        params: z.object({ id: packageIdSchema }),
        querystring: sbomQuery,
        response: { 200: sbomAnswer, 404: problemSchema },
      },
    },
    async (request, reply) => {
      const files = request.query.files === 'true';
      const record = await builder.find(tenantOf(request), request.params.id);
      return reply.type(SBOM_MEDIA_TYPE).send(await sboms.ofPackage(tenantOf(request), record, { files }));
    },
  );
  app.get(
    '/api/v1/gateways/:id/sbom',
    {
      schema: {
        tags: ['gateways'],
        summary: 'The bill of materials of what a gateway says is installed',
        params: z.object({ id: gatewayIdSchema }),
        querystring: sbomQuery,
        response: { 200: sbomAnswer, 404: problemSchema },
      },
    },
    async (request, reply) => {
      const files = request.query.files === 'true';
      const gateway = await gateways.get(tenantOf(request), request.params.id);
      return reply.type(SBOM_MEDIA_TYPE).send(await sboms.ofGateway(tenantOf(request), gateway, { files }));
    },
  );
}
