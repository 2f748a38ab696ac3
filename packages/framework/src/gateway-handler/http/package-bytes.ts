/** Sends a package's bytes: Range, If-Range, If-Match, If-None-Match, HEAD; from its parts, with back-pressure. */
import { pipeline } from 'node:stream/promises';
import { LeonoreError } from '@leonore/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { PackageBuilder } from '../../package-builder/mod.ts';
import type { PackageRecord } from '../../repositories/mod.ts';
import { ifRangeHolds, parseRange, tagListed } from './byte-range.ts';

export interface PackageAnswer {
  readonly record: PackageRecord;
  /** Bare entity tag, without quotes. */
  readonly etag: string;
  readonly fileName: string;
  readonly cacheControl: string;
}

export async function sendPackage(
  builder: PackageBuilder,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: PackageAnswer,
): Promise<FastifyReply> {
  const { size, createdAt } = answer.record.summary;
  const etag = `"${answer.etag}"`;
  const {
    'if-match': ifMatch,
    'if-none-match': ifNoneMatch,
    'if-range': ifRange,
    range: rangeHeader,
  } = request.headers;
  if (ifMatch !== undefined && !tagListed(ifMatch, answer.etag)) {
    throw new LeonoreError('request.precondition', `the content's tag is ${etag}, If-Match asks for ${ifMatch}`);
  }
  const headers: Record<string, string | number> = {
    etag,
    'accept-ranges': 'bytes',
    'last-modified': new Date(createdAt).toUTCString(),
    'cache-control': answer.cacheControl,
    'x-content-type-options': 'nosniff',
  };
  if (ifNoneMatch !== undefined && tagListed(ifNoneMatch, answer.etag)) return reply.code(304).headers(headers).send();
  const range = ifRangeHolds(ifRange === undefined ? undefined : String(ifRange), etag)
    ? parseRange(rangeHeader, size)
    : ({ kind: 'whole' } as const);
  if (range.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${size}`);
    throw new LeonoreError('request.range', `the content has ${size} bytes; the range asked for is ${rangeHeader}`);
  }
  const { start, end } = range.kind === 'whole' ? { start: 0, end: size } : range;
  if (range.kind === 'range') headers['content-range'] = `bytes ${start}-${end - 1}/${size}`;
  headers['content-type'] = 'application/octet-stream';
  headers['content-disposition'] = `attachment;filename=${answer.fileName}`;
  headers['content-length'] = end - start;

  reply.hijack();
  const raw = reply.raw;
  raw.writeHead(range.kind === 'range' ? 206 : 200, headers);
  if (request.method === 'HEAD') {
    raw.end();
    return reply;
  }
  try {
    await pipeline(builder.read(answer.record, { start, end }), raw);
  } catch (error) {
    // The status line is out: a cut connection is the only way left to say that the content is not whole.
    raw.destroy();
    if (isGone(error)) request.log.debug({ package: answer.record.summary.id }, 'a gateway broke off a download');
    else request.log.error({ err: error, package: answer.record.summary.id }, 'sending a package failed');
  }
  return reply;
}

/** The other side closed the connection before it had everything. */
function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';
}
