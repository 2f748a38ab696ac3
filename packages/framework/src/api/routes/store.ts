import {
  collectionSchema,
  packageIdSchema,
  problemSchema,
  sha256Schema,
  storeStatusSchema,
  verificationSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';

const tags = ['store'];

/** The store: how full it is, whether its bytes are still right, what can go. */
export function storeRoutes(app: App, { store, builder, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/store',
    {
      schema: {
        tags,
        summary: 'How full the store is, and what of it is damaged',
        response: { 200: storeStatusSchema },
      },
    },
    () => store.status(),
  );
  app.post(
    '/api/v1/store/verify',
    {
      schema: {
        tags,
        summary: 'Read blobs from the disk and compare their digests',
        description:
          'Reads every blob there is or that a build needs, for about two seconds. Where there are more, `next` is what `after` of the following call is.',
        body: z.object({ after: sha256Schema.optional() }),
        response: { 200: verificationSchema },
      },
    },
    (request) => store.verify({ after: request.body.after }),
  );
  app.post(
    '/api/v1/packages/:id/verify',
    {
      schema: {
        tags,
        summary: "Read a package's blobs from the disk and compare their digests",
        params: z.object({ id: packageIdSchema }),
        response: { 200: verificationSchema, 404: problemSchema },
      },
    },
    async (request) => {
      const { parts } = await builder.find(tenantOf(request), request.params.id);
      return store.verify({ blobs: parts.flatMap((part) => (part.kind === 'blob' ? [part.sha256] : [])) });
    },
  );
  app.post(
    '/api/v1/store/collect',
    {
      schema: { tags, summary: 'Take away now what nothing needs', response: { 200: collectionSchema } },
    },
    () => store.collect(),
  );
}
