/**
 * HTTP/1.1 for gateways over node:http: one request, one answer, body as a stream. Connections are kept and may be
 * shared by thousands of gateways of one process. No redirects are followed, so a credential never travels on. A slow
 * server is put up with, a silent one is not.
 * Leaves to others: addresses, credentials, what an answer means, retries over time.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type * as nodeHttps from 'node:https';
import { LeonoreError } from '@leonore/protocol';
import { type TlsMaterial, trustFault } from '../tls.ts';
import type { ProxySettings } from './proxy.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Silence on the connection after which it is given up, ms. */
  readonly idleTimeoutMs?: number | undefined;
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
  /** For connections of its own. */
  readonly proxy?: ProxySettings | undefined;
  readonly tls?: TlsMaterial | undefined;
}

type Https = typeof nodeHttps;
type HttpsAgent = nodeHttps.Agent;

export const DEFAULT_IDLE_TIMEOUT_MS = 30_000;
/** A head that comes byte by byte is given up after this, ms. */
const MAX_HEAD_MS = 300_000;

export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const own: (HttpAgent | HttpsAgent)[] = [];
  const kept = { keepAlive: true, maxSockets: 4, ...(options.proxy ? { proxyEnv: { ...options.proxy } } : {}) };
  const made: { http?: HttpAgent; https?: HttpsAgent } = {};
  const agentFor = (https: Https | undefined): HttpAgent | HttpsAgent => {
    if (options.agent) return options.agent;
    const agent = https
      ? (made.https ??= new https.Agent({ ...kept, ...options.tls }))
      : (made.http ??= new HttpAgent(kept));
    if (!own.includes(agent)) own.push(agent);
    return agent;
  };
  /** One that went silent without a word was cut on the way, and so were those beside it. */
  const dropIdle = (): void => {
    for (const { freeSockets } of own)
      for (const sockets of Object.values(freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  };

  const once = async (request: HttpRequest): Promise<HttpAnswer> => {
    // TLS takes memory that a gateway without it can keep.
    const https = request.url.protocol === 'https:' ? await import('node:https') : undefined;
    return new Promise((resolve, reject) => {
      request.signal?.throwIfAborted();
      const send = https?.request ?? httpRequest;
      const outgoing = send(request.url, {
        method: request.method,
        agent: agentFor(https),
        headers: {
          'user-agent': options.userAgent ?? 'leonore-agent',
          ...request.headers,
          ...(request.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(request.body)) }),
        },
        ...(request.signal ? { signal: request.signal } : {}),
      });
      const idleMs = request.idleTimeoutMs ?? options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS;
      const giveUp = (afterMs: number) => (): void => {
        dropIdle();
        outgoing.destroy(new Error(`no answer for ${Math.round(afterMs / 1000)} s`));
      };
      outgoing.setTimeout(idleMs, giveUp(idleMs));
      const headTimer = setTimeout(giveUp(idleMs + MAX_HEAD_MS), idleMs + MAX_HEAD_MS);
      outgoing.on('response', (body) => {
        clearTimeout(headTimer);
        resolve({ status: body.statusCode ?? 0, headers: body.headers, body });
      });
      outgoing.on('error', (error) => {
        clearTimeout(headTimer);
        reject(Object.assign(error, { stale: outgoing.reusedSocket }));
      });
      outgoing.end(request.body);
    });
  };

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
        const { origin } = request.url;
        throw new LeonoreError(
          'server.unreachable',
          trustFault(error, origin) ?? `cannot reach ${origin}: ${wayFault(error)}`,
          {
            cause: error,
          },
        );
      }
    },
    [Symbol.dispose]() {
      for (const agent of own) agent.destroy();
    },
  };
}

function wayFault(error: unknown): string {
  if (errorCode(error) === 'ERR_PROXY_TUNNEL') {
    return 'the proxy lets nothing through to it; look at --proxy, HTTPS_PROXY and NO_PROXY, and at what the proxy allows';
  }
  return error instanceof Error ? error.message || errorCode(error) : String(error);
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
