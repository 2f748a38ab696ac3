/** Documents and errors as CoAP answers: negotiation (JSON, CBOR), ETag and 2.03, blocks (RFC 7959), codes with words. */
import { createHash } from 'node:crypto';
import {
  blockOf,
  blockOption,
  type CoapBlock,
  COAP_FORMATS,
  type CoapMessage,
  coapOption,
  type CoapOption,
  LeonoreError,
  MAX_BLOCK_BYTES,
  optionOf,
  uintOf,
} from '@leonore/protocol';
import { decodeCbor, encodeCbor } from '../cbor.ts';
import type { CoapAnswer } from './exchanges.ts';

/** What a representation is told apart by, 8 bytes (RFC 7252, 5.10.6). */
export function etagOf(bytes: Buffer): Buffer {
  return createHash('sha1').update(bytes).digest().subarray(0, 8);
}

/** Which block is asked for: the first without a word. @throws request.invalid */
export function wantedBlock(message: CoapMessage, maxSize = MAX_BLOCK_BYTES): Pick<CoapBlock, 'num' | 'size'> {
  const block = blockOf(message, 'Block2');
  if (block === 'malformed') throw new LeonoreError('request.invalid', 'Block2 cannot be read');
  if (!block) return { num: 0, size: maxSize };
  // Smaller blocks than asked for begin at the same byte.
  const size = Math.min(block.size, maxSize);
  return { num: (block.num * block.size) / size, size };
}

export interface Content {
  readonly size: number;
  readonly etag: Buffer;
  readonly format: number;
  read(range: { start: number; end: number }): Promise<Buffer>;
}

/** The block asked for, or 2.03 where the client has it all. @throws request.range, request.invalid */
export async function contentAnswer(
  message: CoapMessage,
  content: Content,
  { maxBlockSize = MAX_BLOCK_BYTES, options = [] as readonly CoapOption[] } = {},
): Promise<CoapAnswer> {
  const { num, size } = wantedBlock(message, maxBlockSize);
  const etag = coapOption('ETag', content.etag);
  const known = message.options.some(({ name, value }) => name === 'ETag' && value.equals(content.etag));
  if (known && num === 0) return { code: '2.03', options: [etag, ...options] };
  const start = num * size;
  if (start > 0 && start >= content.size) {
    throw new LeonoreError('request.range', `there are ${content.size} bytes, none from ${start} on`);
  }
  const end = Math.min(start + size, content.size);
  const isBlock = content.size > size || optionOf(message, 'Block2') !== undefined;
  return {
    code: '2.05',
    options: [
      etag,
      coapOption('Content-Format', content.format),
      ...(isBlock ? [blockOption('Block2', { num, size, more: end < content.size })] : []),
      ...(isBlock && (num === 0 || optionOf(message, 'Size2')) ? [coapOption('Size2', content.size)] : []),
      ...options,
    ],
    payload: await content.read({ start, end }),
  };
}

export function bytesContent(bytes: Buffer, format: number): Content {
  return {
    size: bytes.length,
    etag: etagOf(bytes),
    format,
    read: ({ start, end }) => Promise.resolve(bytes.subarray(start, end)),
  };
}

/** As JSON or CBOR, whichever is accepted. @throws request.not-acceptable */
export function documentContent(message: CoapMessage, document: unknown): Content {
  const format = uintOf(message, 'Accept') ?? COAP_FORMATS.json;
  if (format === COAP_FORMATS.cbor) return bytesContent(encodeCbor(document), format);
  if (format === COAP_FORMATS.json) return bytesContent(Buffer.from(JSON.stringify(document)), format);
  throw new LeonoreError('request.not-acceptable', `there is JSON (50) and CBOR (60), not ${format}`);
}

/** What a body says, JSON where it does not say what it is. @throws request.media-type, request.json, request.invalid */
export function readDocument(message: CoapMessage, body: Buffer): unknown {
  const format = uintOf(message, 'Content-Format') ?? COAP_FORMATS.json;
  if (format === COAP_FORMATS.cbor) return decodeCbor(body);
  if (format !== COAP_FORMATS.json && format !== COAP_FORMATS.mergePatch) {
    throw new LeonoreError('request.media-type', `send JSON (50, 52) or CBOR (60), not ${format}`);
  }
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw new LeonoreError('request.json', 'the body is no JSON', { cause: error });
  }
}

const MAX_WORDS = 500;
const RETRY_SECONDS = 10;

/** The words begin with the error's code: `task.closed: ...`. */
export function errorAnswer(error: LeonoreError, maxWords = MAX_WORDS): CoapAnswer {
  const code = codeOf(error.status);
  const isLater = code === '5.03' || code === '4.29';
  return {
    code,
    options: isLater ? [coapOption('Max-Age', RETRY_SECONDS)] : [],
    payload: Buffer.from(`${error.code}: ${error.message}`.slice(0, maxWords)),
  };
}

/** Those of HTTP that CoAP has too, by the same digits. */
const SHARED = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429, 503];

function codeOf(status: number): string {
  if (SHARED.includes(status)) return `${Math.floor(status / 100)}.${String(status % 100).padStart(2, '0')}`;
  if (status === 410) return '4.04';
  return status < 500 ? '4.00' : '5.00';
}
