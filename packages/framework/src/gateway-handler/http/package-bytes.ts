/** Sends a package's bytes, or a delta's: Range, If-Range, If-Match, If-None-Match, HEAD; piece by piece, with back-pressure. */
import { pipeline } from 'node:stream/promises';
import { LeonoreError } from '@leonore/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { PackageBuilder } from '../../package-builder/mod.ts';
import type { PackageRecord } from '../../repositories/mod.ts';
import { type ByteRange, ifRangeHolds, parseRange, tagListed } from './byte-range.ts';

interface Answer {
  /** Bare entity tag, without quotes. */
  readonly etag: string;
  readonly fileName: string;
  readonly cacheControl: string;
}

export interface PackageAnswer extends Answer {
  readonly record: PackageRecord;
}

export interface BytesAnswer extends Answer {
  readonly size: number;
  readonly createdAt: number;
  /** Rejects with what is missing or damaged, as long as that can be said in words. */
  ready?(range: ByteRange): Promise<void>;
  read(range: ByteRange): AsyncIterable<Uint8Array>;
}

export function sendPackage(
  builder: PackageBuilder,
  request: FastifyRequest,
  reply: FastifyReply,
  { record, ...answer }: PackageAnswer,
): Promise<FastifyReply> {
  const { size, createdAt } = record.summary;
  return sendBytes(request, reply, {
    ...answer,
    size,
    createdAt,
    ready: (range) => builder.ready(record, range),
    read: (range) => builder.read(record, range),
  });
}

export async function sendBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: BytesAnswer,
): Promise<FastifyReply> {
  const { size, createdAt, fileName } = answer;
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
  const range = ifRangeHolds(ifRange === undefined ? undefined : String(ifRange), etag, createdAt)
    ? parseRange(rangeHeader, size)
    : ({ kind: 'whole' } as const);
  if (range.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${size}`);
    throw new LeonoreError('request.range', `the content has ${size} bytes; the range asked for is ${rangeHeader}`);
  }
  const ranges = range.kind === 'whole' ? ([{ start: 0, end: size }] as const) : range.ranges;
  // As long as nothing is sent, what is missing or damaged can be said in words.
  if (request.method !== 'HEAD') for (const one of ranges) await answer.ready?.(one);
  const parts = ranges.length > 1 ? partsOf(ranges, size) : undefined;
  if (range.kind === 'ranges' && !parts) headers['content-range'] = contentRange(ranges[0], size);
  headers['content-type'] = parts ? `multipart/byteranges; boundary=${BOUNDARY}` : CONTENT_TYPE;
  headers['content-disposition'] = `attachment;filename=${fileName}`;
  headers['content-length'] = parts ? lengthOf(parts) : ranges[0].end - ranges[0].start;

  reply.hijack();
  const raw = reply.raw;
  raw.writeHead(range.kind === 'whole' ? 200 : 206, headers);
  if (request.method === 'HEAD') {
    raw.end();
    return reply;
  }
  try {
    await pipeline(parts ? readParts(parts, answer) : answer.read(ranges[0]), raw);
  } catch (error) {
    // The status line is out: a cut connection is the only way left to say that the content is not whole.
    raw.destroy();
    if (isGone(error)) request.log.debug({ file: fileName }, 'a gateway broke off a download');
    else request.log.error({ err: error, file: fileName }, 'sending a package failed');
  }
  return reply;
}

const CONTENT_TYPE = 'application/octet-stream';
/** hawkBit's. */
const BOUNDARY = 'THIS_STRING_SEPARATES_MULTIPART';

/** A piece of a multipart answer (RFC 9110, 14.6): what stands before the bytes, and which bytes. */
interface Part {
  readonly head: Buffer;
  readonly range?: ByteRange;
}

function partsOf(ranges: readonly ByteRange[], size: number): readonly Part[] {
  const heads = ranges.map((range) => {
    const lines = [`--${BOUNDARY}`, `Content-Type: ${CONTENT_TYPE}`, `Content-Range: ${contentRange(range, size)}`];
    return { head: Buffer.from(`\r\n${lines.join('\r\n')}\r\n\r\n`), range };
  });
  return [...heads, { head: Buffer.from(`\r\n--${BOUNDARY}--\r\n`) }];
}

function lengthOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { head, range }) => sum + head.length + (range ? range.end - range.start : 0), 0);
}

async function* readParts(parts: readonly Part[], { read }: Pick<BytesAnswer, 'read'>): AsyncGenerator<Uint8Array> {
  for (const { head, range } of parts) {
    yield head;
    if (range) yield* read(range);
  }
}

function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}

/** The other side closed the connection before it had everything. */
function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';
}
