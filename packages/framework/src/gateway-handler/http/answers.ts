/** DDI's documents as bytes: negotiation (HAL, JSON, CBOR), Content-Length, ETag and 304; bodies in JSON or CBOR. */
import { createHash } from 'node:crypto';
import { LeonoreError } from '@leonore/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { tagListed } from './byte-range.ts';
import { decodeCbor, encodeCbor } from '../cbor.ts';

const HAL = 'application/hal+json';
const CBOR = 'application/cbor';
const TYPES = [HAL, 'application/json', CBOR] as const;
type Type = (typeof TYPES)[number];

/** Takes bodies as JSON and as CBOR; where a body may be missing, an empty one is none. */
export function takeBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parseJson(request, body as string, done);
  });
  app.addContentTypeParser(CBOR, { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, decodeCbor(body as Buffer));
    } catch (error) {
      done(error as LeonoreError);
    }
  });
}

/** Before anything is done: can what the client accepts be answered? @throws request.not-acceptable */
export function checkAccept(request: FastifyRequest): Promise<void> {
  acceptedType(request.headers.accept);
  return Promise.resolve();
}

export function sendDocument(request: FastifyRequest, reply: FastifyReply, document: unknown): FastifyReply {
  const type = acceptedType(request.headers.accept);
  const body = type === CBOR ? encodeCbor(document) : Buffer.from(JSON.stringify(document));
  const etag = createHash('sha1').update(body).digest('base64url');
  reply.header('etag', `"${etag}"`);
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifNoneMatch !== undefined && tagListed(ifNoneMatch, etag)) return reply.code(304).send();
  return reply
    .code(200)
    .header('content-type', type === CBOR ? CBOR : `${type};charset=UTF-8`)
    .send(body);
}

function acceptedType(accept: string | undefined): Type {
  if (accept === undefined || accept.trim() === '') return HAL;
  for (const entry of accept.split(',')) {
    const [type = '', ...parameters] = entry.split(';').map((word) => word.trim().toLowerCase());
    if (parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))) continue;
    if (type === '*/*' || type === 'application/*') return HAL;
    const match = TYPES.find((known) => known === type);
    if (match) return match;
  }
  throw new LeonoreError('request.not-acceptable', `this address answers ${TYPES.join(', ')}, not ${accept}`);
}
