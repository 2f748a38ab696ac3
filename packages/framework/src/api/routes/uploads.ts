import { LeonoreError, problemSchema, sha256Schema, uploadStatusSchema } from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';

const params = z.object({ sha256: sha256Schema });
const tags = ['artifacts'];

/** Resumable uploads, named by the digest of their bytes. */
export function uploadRoutes(app: App, { packages }: ApiDeps): void {
  app.put(
    '/api/v1/uploads/:sha256',
    {
      schema: {
        tags,
        summary: 'Open an upload, or find it again',
        params,
        body: z.object({ size: z.int().min(1) }),
        response: { 200: uploadStatusSchema, 413: problemSchema },
      },
    },
    (request) => packages.openUpload(request.params.sha256, request.body.size),
  );
  app.get(
    '/api/v1/uploads/:sha256',
    {
      schema: {
        tags,
        summary: 'How far an upload is',
        params,
        response: { 200: uploadStatusSchema, 404: problemSchema },
      },
    },
    (request) => packages.uploadStatus(request.params.sha256),
  );
  void app.register(async (streaming) => {
    streaming.removeAllContentTypeParsers();
    streaming.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
    streaming.patch(
      '/api/v1/uploads/:sha256',
      {
        schema: {
          tags,
          summary: 'Add bytes at an offset',
          description:
            'The header `Upload-Offset` says where the bytes begin. What arrived before a break is kept. With the last byte the digest is checked.',
          consumes: ['application/octet-stream'],
          headers: z.object({ 'upload-offset': z.string() }),
          response: { 200: uploadStatusSchema, 404: problemSchema, 409: problemSchema, 422: problemSchema },
        },
        bodyLimit: Number.MAX_SAFE_INTEGER,
      },
      async (request) => {
        const offset = Number(request.headers['upload-offset']);
        if (!Number.isSafeInteger(offset) || offset < 0) {
          throw new LeonoreError(
            'request.invalid',
            'the header Upload-Offset says at which byte the body begins; 0 for a new upload',
          );
        }
        const { sha256 } = params.parse(request.params);
        return packages.appendUpload(sha256, offset, request.body as AsyncIterable<Uint8Array>);
      },
    );
  });
}
