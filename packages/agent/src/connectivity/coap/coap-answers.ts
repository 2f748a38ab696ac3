/** What answers over CoAP mean: blocks, tags, and refusals as the errors that the rest of the agent knows. */
import { blockOf, type CoapMessage, isErrorCode, LeonoreError, uintOf } from '@leonore/protocol';

/** HTTP names the same content by the whole digest of which CoAP has the first 8 bytes. */
export function tagLike(tag: string, other: string | undefined): string {
  return other !== undefined && tag !== '' && other.replaceAll('"', '').startsWith(tag) ? other : `"${tag}"`;
}

export function isSame(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a?.toString('hex') === b?.toString('hex');
}

export function readBlock(message: CoapMessage, name: 'Block1' | 'Block2' = 'Block2') {
  const block = blockOf(message, name);
  if (block === 'malformed') throw strange('sent a block that cannot be read');
  return block;
}

export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new LeonoreError('request.json', 'the server answered with something that is no JSON', { cause: error });
  }
}

export function strange(what: string): LeonoreError {
  return new LeonoreError('server.unreachable', `the server ${what}`);
}

/** Its words begin with the error's code. `httpStatus`: what the same refusal is over HTTP. */
export function errorOf(answer: CoapMessage): LeonoreError {
  const text = answer.payload.toString();
  const [, code = '', words = ''] = /^([a-z.-]+): (.*)$/s.exec(text) ?? [];
  const retryAfterSeconds = uintOf(answer, 'Max-Age');
  const httpStatus = Number(answer.code.replace('.', ''));
  const details = { httpStatus, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
  if (!isErrorCode(code)) {
    const kind = httpStatus >= 500 ? 'server.unreachable' : httpStatus === 404 ? 'route.unknown' : 'request.invalid';
    return new LeonoreError(kind, `the server answered ${answer.code}${text ? `: ${text.slice(0, 200)}` : ''}`, {
      details,
    });
  }
  const error = new LeonoreError(code, words);
  return new LeonoreError(code, words, { details: { ...details, httpStatus: error.status } });
}
