/**
 * One HTTP call: address, credentials, body, answer parsed by its schema, every failure a LeonoreError.
 * Leaves to others: which calls there are (client.ts), trying again (upload.ts, events.ts).
 */
import { fromProblem, LeonoreError } from '@leonore/protocol';
import type { z } from 'zod';

export interface HttpOptions {
  /** Where the node is, such as `http://127.0.0.1:8080`; a path prefix is kept. */
  readonly baseUrl: string;
  /** Sent as `Authorization: Bearer TOKEN`. */
  readonly token?: string | undefined;
  readonly fetch?: typeof fetch | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface Call extends CallOptions {
  readonly method?: string;
  /** Relative to the base address, starts with `/`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>> | undefined;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Http {
  readonly baseUrl: string;
  /** The answer's headers have come; its status is 2xx. @throws LeonoreError for every other status. */
  send(call: Call): Promise<Response>;
  /** @throws LeonoreError `server.unreachable` when the answer is not what the schema says: no LEONORE node sent it. */
  json<T extends z.ZodType>(schema: T, call: Call): Promise<z.infer<T>>;
  /** As `json`, with the status of the answer, for calls that say something by it. */
  jsonAndStatus<T extends z.ZodType>(schema: T, call: Call): Promise<{ body: z.infer<T>; status: number }>;
  none(call: Call): Promise<void>;
}

export function createHttp(options: HttpOptions): Http {
  const baseUrl = parseBaseUrl(options.baseUrl);
  const doFetch = options.fetch ?? globalThis.fetch;

  async function send(call: Call): Promise<Response> {
    const url = addressOf(baseUrl, call);
    const headers = new Headers(call.headers);
    if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`);
    if (!headers.has('accept')) headers.set('accept', 'application/json');
    if (call.json !== undefined) headers.set('content-type', 'application/json');
    const body = call.json === undefined ? call.bytes : JSON.stringify(call.json);
    let response: Response;
    try {
      response = await doFetch(url, {
        method: call.method ?? 'GET',
        headers,
        ...(body === undefined ? {} : { body }),
        ...(call.signal ? { signal: call.signal } : {}),
      });
    } catch (error) {
      throw networkError(error, baseUrl, call.signal);
    }
    if (response.ok) return response;
    const problem = fromProblem(response.status, await readBody(response));
    await response.body?.cancel().catch(() => undefined);
    throw problem;
  }

  async function jsonAndStatus<T extends z.ZodType>(schema: T, call: Call) {
    const response = await send(call);
    let body: unknown;
    try {
      body = await response.json();
    } catch (error) {
      if (error instanceof SyntaxError) throw notLeonore(baseUrl, call, 'the answer is not JSON', error);
      throw networkError(error, baseUrl, call.signal);
    }
    const parsed = schema.safeParse(body);
    if (parsed.success) return { body: parsed.data, status: response.status };
    const issue = parsed.error.issues[0];
    const where = issue?.path.length ? `${issue.path.map(String).join('.')}: ` : '';
    throw notLeonore(baseUrl, call, `${where}${issue?.message ?? 'unexpected answer'}`, parsed.error);
  }

  return {
    baseUrl,
    send,
    jsonAndStatus,
    json: async (schema, call) => (await jsonAndStatus(schema, call)).body,
    async none(call) {
      const response = await send(call);
      await response.body?.cancel();
    },
  };
}

/** @throws LeonoreError `config.invalid` when the text is no http(s) address. */
function parseBaseUrl(text: string): string {
  const url = URL.parse(text);
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new LeonoreError('config.invalid', `"${text}" is no server address; it reads like http://127.0.0.1:8080`);
  }
  if (url.search || url.hash || url.username || url.password) {
    throw new LeonoreError(
      'config.invalid',
      `a server address has no "?", "#" or user name: ${url.origin}${url.pathname}`,
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

function addressOf(baseUrl: string, call: Call): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(call.query ?? {})) {
    if (value !== undefined) query.set(key, String(value));
  }
  return `${baseUrl}${call.path}${query.size > 0 ? `?${query.toString()}` : ''}`;
}

/** An abort stays what its owner made of it; anything else means that there is nobody at this address. */
export function networkError(error: unknown, baseUrl: string, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason ?? error;
  if (error instanceof LeonoreError) return error;
  return new LeonoreError('server.unreachable', `cannot reach ${baseUrl}: ${causeOf(error)}`, {
    cause: error,
    details: { url: baseUrl },
  });
}

/** `fetch failed` says nothing: the reason lies in its cause. */
function causeOf(error: unknown): string {
  let innermost: unknown = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  if (!(innermost instanceof Error)) return String(innermost);
  const code = 'code' in innermost && typeof innermost.code === 'string' ? innermost.code : '';
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there (connection refused)';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is not known';
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'the connection was cut';
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'it did not answer in time';
    default:
      return innermost.message || code || 'the connection failed';
  }
}

function notLeonore(baseUrl: string, call: Call, why: string, cause: unknown): LeonoreError {
  return new LeonoreError(
    'server.unreachable',
    `${baseUrl} answers ${call.method ?? 'GET'} ${call.path}, but not as a LEONORE node of this version does (${why})`,
    { cause, details: { url: baseUrl } },
  );
}

async function readBody(response: Response): Promise<unknown> {
  try {
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      return response.headers.get('content-type')?.startsWith('text/html') ? '' : text;
    }
  } catch {
    return '';
  }
}
