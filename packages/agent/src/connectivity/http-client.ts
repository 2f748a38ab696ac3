/**
 * HTTP/1.1 for gateways over node:http: one request, one answer, body as a stream. Connections are kept and may be
 * shared by thousands of gateways of one process. No redirects are followed, so a credential never travels on.
 * Leaves to others: addresses, credentials, retries over time.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { fromProblem, LeonoreError } from '@leonore/protocol';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Silence on the connection after which it is given up, ms. */
  readonly idleTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be read to its end or destroyed. */
  readonly body: IncomingMessage;
}
export interface HttpClient extends Disposable {
  send(request: HttpRequest): Promise<HttpAnswer>;
}
export interface HttpClientOptions {
  /** Shared connections; without it the client keeps a few of its own and closes them with itself. */
  readonly agent?: HttpAgent | HttpsAgent;
  readonly idleTimeoutMs?: number;
  readonly userAgent?: string;
}

const DEFAULT_IDLE_TIMEOUT_MS = 30_000;

export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const own = options.agent ? [] : [new HttpAgent({ keepAlive: true, maxSockets: 4 })];
  const ownTls: HttpsAgent[] = [];
  const agentFor = (url: URL): HttpAgent | HttpsAgent => {
    if (options.agent) return options.agent;
    if (url.protocol === 'http:') return own[0] as HttpAgent;
    ownTls[0] ??= new HttpsAgent({ keepAlive: true, maxSockets: 4 });
    return ownTls[0];
  };

  const once = (request: HttpRequest): Promise<HttpAnswer> =>
    new Promise((resolve, reject) => {
      request.signal?.throwIfAborted();
      const send = request.url.protocol === 'https:' ? httpsRequest : httpRequest;
      const outgoing = send(request.url, {
        method: request.method,
        agent: agentFor(request.url),
        headers: {
          'user-agent': options.userAgent ?? 'leonore-agent',
          ...request.headers,
          ...(request.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(request.body)) }),
        },
        ...(request.signal ? { signal: request.signal } : {}),
      });
      const idleMs = request.idleTimeoutMs ?? options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS;
      outgoing.setTimeout(idleMs, () => outgoing.destroy(new Error(`no answer for ${Math.round(idleMs / 1000)} s`)));
      outgoing.on('response', (body) => resolve({ status: body.statusCode ?? 0, headers: body.headers, body }));
      outgoing.on('error', (error) => reject(Object.assign(error, { stale: outgoing.reusedSocket })));
      outgoing.end(request.body);
    });

  return {
    async send(request) {
      if (request.url.protocol !== 'http:' && request.url.protocol !== 'https:') {
        throw new LeonoreError('agent.unsupported', `cannot fetch ${request.url.href}: use http or https`);
      }
      try {
        return await once(request).catch((error: unknown) => {
          // A kept connection that the server closed in the same moment says nothing about the server: once more.
          if (isStaleConnection(error) && !request.signal?.aborted) return once(request);
          throw error;
        });
      } catch (error) {
        request.signal?.throwIfAborted();
        throw new LeonoreError(
          'server.unreachable',
          `cannot reach ${request.url.origin}: ${error instanceof Error ? error.message || errorCode(error) : String(error)}`,
          { cause: error },
        );
      }
    },
    [Symbol.dispose]() {
      for (const agent of [...own, ...ownTls]) agent.destroy();
    },
  };
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function isStaleConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    'stale' in error &&
    error.stale === true &&
    ['ECONNRESET', 'EPIPE'].includes(errorCode(error))
  );
}

/** The whole body as text; more than `limit` bytes is refused. */
export async function readText(answer: HttpAnswer, limit = 4 * 2 ** 20): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit)
        throw new LeonoreError('request.too-large', `the server's answer is longer than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    answer.body.destroy();
    if (error instanceof LeonoreError) throw error;
    throw new LeonoreError('server.unreachable', 'the connection broke in the middle of an answer', { cause: error });
  }
  return Buffer.concat(chunks).toString('utf8');
}

export async function readJson(answer: HttpAnswer): Promise<unknown> {
  const text = await readText(answer);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LeonoreError('request.json', 'the server answered with something that is no JSON', { cause: error });
  }
}

/** An answer that was not hoped for, as an error; `details.retryAfterSeconds` when the server says how long to wait. */
export async function answerError(answer: HttpAnswer): Promise<LeonoreError> {
  const text = await readText(answer, 2 ** 16).catch(() => '');
  const error = fromProblem(answer.status, parseOrText(text));
  const seconds = Number(answer.headers['retry-after']);
  const details = {
    ...error.details,
    httpStatus: answer.status,
    ...(Number.isFinite(seconds) && seconds >= 0 ? { retryAfterSeconds: seconds } : {}),
  };
  return new LeonoreError(error.code, error.message, { cause: error.cause, details });
}

function parseOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Whether the same request may succeed by itself later: no connection, a busy or failing server. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof LeonoreError)) return false;
  const status = error.details['httpStatus'];
  if (typeof status === 'number') return status >= 500 || status === 429 || status === 408;
  return error.code === 'server.unreachable';
}

/** What `Retry-After` asked for, ms; 0 when it did not. */
export function retryAfterMs(error: unknown): number {
  const seconds = error instanceof LeonoreError ? error.details['retryAfterSeconds'] : undefined;
  return typeof seconds === 'number' ? Math.min(seconds, 3600) * 1000 : 0;
}
