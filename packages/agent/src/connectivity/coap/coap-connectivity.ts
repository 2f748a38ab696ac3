/**
 * What a gateway and its server say to each other over CoAP (docs/coap.md): task, reports, profile, package bytes. It
 * proves who it is, cuts what is long into blocks (RFC 7959) and puts together what comes in blocks. One call is one
 * attempt, apart from what a lost datagram costs; retries over time are the caller's.
 */
import {
  blockOption,
  COAP_FORMATS,
  COAP_NONCE_PATH,
  coapDigest,
  coapKey,
  type CoapMessage,
  type CoapMethod,
  coapOption,
  type CoapOption,
  coapPath,
  coapProof,
  type CoapResource,
  type DdiFeedback,
  LeonoreError,
  MAX_BLOCK_BYTES,
  MAX_BLOCK_NUM,
  optionOf,
  uintOf,
} from '@leonore/protocol';
import type { DownloadAnswer, DownloadRange, FeedbackOutcome, GatewayCredentials } from '../channel.ts';
import { errorOf, isSame, parseJson, readBlock, strange, tagLike } from './coap-answers.ts';
import type { CoapClient } from './coap-client.ts';

export interface CoapConnectivityOptions {
  readonly gateway: Pick<GatewayCredentials, 'tenant' | 'id' | 'secret'>;
  readonly client: Pick<CoapClient, 'ask'>;
  /** The server gave other nonces than before: it may have forgotten who observes. */
  readonly onNewNonce?: (() => void) | undefined;
}

export interface CoapDocument {
  /** Undefined: the one that `etag` names. */
  readonly document: unknown;
  readonly etag: Buffer | undefined;
  /** How long it is good for, seconds. */
  readonly maxAgeSeconds: number | undefined;
  /** The server will tell of changes. */
  readonly isObserved: boolean;
}

export interface CoapConnectivity {
  /** The task; with a token it is observed from now on (or not any more), with a tag it comes only if it is another one. */
  task(wish: {
    observe?: 'on' | 'off';
    token?: Buffer;
    etag?: Buffer | undefined;
    signal?: AbortSignal;
  }): Promise<CoapDocument>;
  /** What a notification tells, its further blocks asked for. */
  told(notification: CoapMessage, signal?: AbortSignal): Promise<CoapDocument>;
  report(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  reportCancel(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  putProfile(profile: unknown, signal?: AbortSignal): Promise<void>;
  patchProfile(patch: unknown, signal?: AbortSignal): Promise<void>;
  download(url: string, range?: DownloadRange): Promise<DownloadAnswer>;
}

interface Question {
  readonly method: CoapMethod;
  readonly resource: CoapResource;
  readonly rest?: readonly string[];
  readonly query?: readonly string[];
  readonly options?: readonly CoapOption[];
  readonly payload?: Buffer;
  readonly token?: Buffer;
}

const MAX_DOCUMENT_BYTES = 4 * 2 ** 20;
/** How often something long is begun again because it changed on the way. */
const MAX_BEGINNINGS = 3;

export function createCoapConnectivity(options: CoapConnectivityOptions): CoapConnectivity {
  const { client } = options;
  const { tenant, id, secret } = options.gateway;
  const key = coapKey(secret);
  let nonce: string | undefined;

  const freshNonce = async (signal?: AbortSignal): Promise<string> => {
    const answer = await client.ask({ method: 'GET', path: COAP_NONCE_PATH }, signal);
    if (answer.code !== '2.05') throw errorOf(answer);
    return answer.payload.toString();
  };

  /** An answer to whom the server knows; one for whom it does not, with a new nonce, is final. */
  const ask = async (question: Question, signal?: AbortSignal): Promise<CoapMessage> => {
    const { method, resource, rest = [], query = [], ...more } = question;
    const path = coapPath(tenant, id, resource, ...rest);
    const once = async (): Promise<CoapMessage> => {
      const proven = [...query, `nonce=${nonce}`];
      const proof = `proof=${coapProof(key, method, path, proven)}`;
      return client.ask({ method, path, query: [...proven, proof], ...more }, signal);
    };
    const before = nonce;
    nonce ??= await freshNonce(signal);
    const answer = await once();
    if (answer.code !== '4.01' || before === undefined) return answer;
    // Another question may have brought a new one meanwhile.
    if (nonce === before) nonce = await freshNonce(signal);
    options.onNewNonce?.();
    return once();
  };

  const get = async (question: Question, signal?: AbortSignal): Promise<CoapMessage> => {
    const answer = await ask({ ...question, method: 'GET' }, signal);
    if (!answer.code.startsWith('2.')) throw errorOf(answer);
    return answer;
  };

  /** The whole of it, of which `first` is the first block. */
  const whole = async (question: Question, first: CoapMessage, signal?: AbortSignal): Promise<Buffer | undefined> => {
    const parts = [first.payload];
    let length = first.payload.length;
    let block = readBlock(first);
    while (block?.more) {
      const next = blockOption('Block2', { num: length / block.size, size: block.size, more: false });
      const answer = await get({ ...question, options: [...(question.options ?? []), next] }, signal);
      if (!isSame(optionOf(answer, 'ETag'), optionOf(first, 'ETag'))) return undefined;
      block = readBlock(answer);
      if (!block || block.num * block.size !== length) throw strange('sent another block than the one asked for');
      parts.push(answer.payload);
      length += answer.payload.length;
      if (length > MAX_DOCUMENT_BYTES) throw strange(`sends more than ${MAX_DOCUMENT_BYTES} bytes`);
    }
    return Buffer.concat(parts);
  };

  const TASK: Question = { method: 'GET', resource: 'task', options: [coapOption('Accept', COAP_FORMATS.json)] };

  const read = async (
    first: CoapMessage,
    again: () => Promise<CoapMessage>,
    signal?: AbortSignal,
  ): Promise<CoapDocument> => {
    let answer = first;
    for (let i = 0; i < MAX_BEGINNINGS; i++) {
      const facts = {
        etag: optionOf(answer, 'ETag'),
        maxAgeSeconds: uintOf(answer, 'Max-Age'),
        isObserved: uintOf(answer, 'Observe') !== undefined,
      };
      if (answer.code === '2.03') return { document: undefined, ...facts };
      const bytes = await whole(TASK, answer, signal);
      if (bytes) return { document: parseJson(bytes), ...facts };
      answer = await again();
    }
    throw strange('changes its answer faster than it can be read');
  };

  const send = async (
    method: CoapMethod,
    resource: CoapResource,
    rest: readonly string[],
    document: unknown,
    signal?: AbortSignal,
  ): Promise<CoapMessage> => {
    const body = Buffer.from(JSON.stringify(document));
    const format = coapOption('Content-Format', method === 'iPATCH' ? COAP_FORMATS.mergePatch : COAP_FORMATS.json);
    const question: Question = { method, resource, rest, query: [`sha256=${coapDigest(body)}`] };
    if (body.length <= MAX_BLOCK_BYTES) return ask({ ...question, options: [format], payload: body }, signal);
    let size = MAX_BLOCK_BYTES;
    let beginnings = 0;
    for (let at = 0; ; ) {
      const end = Math.min(at + size, body.length);
      const block = blockOption('Block1', { num: at / size, size, more: end < body.length });
      const sizes = at === 0 ? [coapOption('Size1', body.length)] : [];
      const blocks = { options: [format, block, ...sizes], payload: body.subarray(at, end) };
      const answer = await ask({ ...question, ...blocks }, signal);
      if (answer.code === '4.08' && ++beginnings < MAX_BEGINNINGS) {
        at = 0;
        continue;
      }
      if (answer.code !== '2.31') return answer;
      if (end === body.length) throw strange('wants more than there is');
      // It may want smaller ones from now on.
      size = Math.min(size, readBlock(answer, 'Block1')?.size ?? size);
      at = end;
    }
  };

  const post = async (
    resource: 'report' | 'cancel',
    actionId: string,
    report: DdiFeedback,
    signal?: AbortSignal,
  ): Promise<FeedbackOutcome> => {
    const answer = await send('POST', resource, [actionId], report, signal);
    if (answer.code.startsWith('2.')) return 'accepted';
    const error = errorOf(answer);
    if (error.code === 'task.closed') return 'gone';
    if (answer.code === '4.04') return 'unknown';
    throw error;
  };
  const tell = async (method: 'PUT' | 'iPATCH', document: unknown, signal?: AbortSignal): Promise<void> => {
    const answer = await send(method, 'profile', [], document, signal);
    if (!answer.code.startsWith('2.')) throw errorOf(answer);
  };

  async function* blocks(question: Question, first: CoapMessage, range: BlockRange): AsyncGenerator<Uint8Array> {
    const { signal, end } = range;
    let answer = first;
    for (let at = range.offset; ; ) {
      const block = readBlock(answer);
      const start = block ? block.num * block.size : 0;
      const bytes = answer.payload.subarray(at - start, end - start);
      if (bytes.length === 0) throw strange('sent other bytes than those asked for');
      yield bytes;
      at += bytes.length;
      if (at >= end) return;
      const size = block?.size ?? MAX_BLOCK_BYTES;
      answer = await get(blockAt(question, at, size), signal);
      if (!isSame(optionOf(answer, 'ETag'), optionOf(first, 'ETag'))) {
        throw new LeonoreError('agent.download', 'the package is another one than at its beginning');
      }
    }
  }

  return {
    async task({ observe, token, etag, signal }) {
      const question: Question = {
        ...TASK,
        ...(token ? { token } : {}),
        options: [
          ...(TASK.options ?? []),
          ...(observe ? [coapOption('Observe', observe === 'on' ? 0 : 1)] : []),
          ...(etag ? [coapOption('ETag', etag)] : []),
        ],
      };
      const again = (): Promise<CoapMessage> => get(question, signal);
      return read(await again(), again, signal);
    },
    told: (notification, signal) => {
      if (!notification.code.startsWith('2.')) throw errorOf(notification);
      return read(notification, () => get(TASK, signal), signal);
    },
    report: (actionId, report, signal) => post('report', actionId, report, signal),
    reportCancel: (actionId, report, signal) => post('cancel', actionId, report, signal),
    putProfile: (profile, signal) => tell('PUT', profile, signal),
    patchProfile: (patch, signal) => tell('iPATCH', patch, signal),
    async download(url, { offset = 0, end = Infinity, etag, signal } = {}) {
      const question: Question = { method: 'GET', resource: 'package', rest: packageOf(url) };
      const first = await get(blockAt(question, offset, MAX_BLOCK_BYTES), signal);
      const total = uintOf(first, 'Size2') ?? (readBlock(first) ? undefined : first.payload.length);
      if (total === undefined) throw strange('does not say how long the package is');
      const tag = optionOf(first, 'ETag')?.toString('hex') ?? '';
      const last = Math.min(end, total);
      return {
        offset,
        end: last,
        total,
        etag: tagLike(tag, etag),
        body: last > offset ? blocks(question, first, { offset, end: last, signal }) : nothing(),
      };
    },
  };
}

interface BlockRange {
  readonly offset: number;
  /** Exclusive. */
  readonly end: number;
  readonly signal: AbortSignal | undefined;
}

function blockAt(question: Question, at: number, size: number): Question {
  const num = Math.floor(at / size);
  if (num > MAX_BLOCK_NUM) {
    throw new LeonoreError('server.unreachable', `over CoAP a package has at most ${(MAX_BLOCK_NUM + 1) * size} bytes`);
  }
  const block = blockOption('Block2', { num, size, more: false });
  return { ...question, options: [block, coapOption('Size2', 0)] };
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // An empty range.
}

/** Task and file of a link to `.../softwaremodules/{task}/artifacts/{file}`, wherever the document came from. */
function packageOf(url: string): string[] {
  const match = /\/softwaremodules\/([^/]+)\/artifacts\/([^/?#]+)$/.exec(URL.parse(url)?.pathname ?? '');
  if (match) return [match[1] ?? '', match[2] ?? ''].map(decodeURIComponent);
  throw new LeonoreError('server.unreachable', `${url} lies elsewhere and cannot be had over CoAP`);
}
