/** What answers mean: read within limits, told apart from those that no LEONORE server gives, and as errors. */
import { fromProblem, LeonoreError } from '@leonore/protocol';
import type { HttpAnswer } from './http-client.ts';

/** An answer may come slowly, but not for ever, ms. */
const MAX_BODY_MS = 900_000;

const PORTAL =
  'a captive portal seems to answer, which wants somebody to log in there; or --server is not the address of a LEONORE node';

/** The whole body as text; more than `limit` bytes is refused. */
export async function readText(answer: HttpAnswer, limit = 4 * 2 ** 20): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(
    () => answer.body.destroy(new Error(`it is not over after ${MAX_BODY_MS / 60_000} min`)),
    MAX_BODY_MS,
  );
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
  } finally {
    clearTimeout(timer);
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

/** The server's yes: no words, or JSON. @throws LeonoreError `server.unreachable` for what somebody else says. */
export async function readYes(answer: HttpAnswer): Promise<void> {
  if (answer.headers['content-length'] === '0') {
    answer.body.resume();
    return;
  }
  const text = await readText(answer, 2 ** 16);
  try {
    if (text.trim() !== '') JSON.parse(text);
  } catch (error) {
    throw new LeonoreError('server.unreachable', `the answer is none of a LEONORE server: ${PORTAL}`, { cause: error });
  }
}

/**
 * Refuses an answer of somebody else: the login page of a hotel, a redirect to it, a proxy that asks who this is. As if the
 * server were not there, so that nothing is taken for said: neither that a task is gone, nor that a report has arrived.
 * @throws LeonoreError `server.unreachable`
 */
export function requireOurs(answer: HttpAnswer, url: URL): void {
  const why = foreign(answer, url);
  if (why === undefined) return;
  answer.body.destroy();
  throw new LeonoreError('server.unreachable', `${url.origin} ${why}`);
}

/** What a LEONORE server never answers with a web page. Those in front of one do so when it is down: 502, 503. */
const OURS = [200, 201, 206, 401, 403, 404, 410];

function foreign({ status, headers }: HttpAnswer, url: URL): string | undefined {
  if (status === 511) return `cannot be reached from here yet: ${PORTAL}`;
  if (status === 407)
    return 'is behind a proxy that asks for credentials; give them as --proxy http://USER:PASSWORD@HOST:PORT';
  if (status >= 300 && status < 400 && status !== 304) {
    const target = URL.parse(headers.location ?? '', url.href);
    const same = target?.hostname === url.hostname;
    return target && same
      ? `answers that it is at ${target.origin}${target.pathname}; give that address as --server`
      : `sends this gateway to ${target?.origin ?? 'nowhere'}: ${PORTAL}`;
  }
  if (OURS.includes(status) && /\bx?html\b/i.test(headers['content-type'] ?? '')) {
    return `answers with a web page (${status}): ${PORTAL}`;
  }
  return undefined;
}

/** An answer that was not hoped for, as an error; `details.retryAfterSeconds` when the server says how long to wait. */
export async function answerError(answer: HttpAnswer): Promise<LeonoreError> {
  const text = await readText(answer, 2 ** 16).catch(() => '');
  const error = fromProblem(answer.status, parseOrText(text));
  const retryAfterSeconds = retryAfter(answer);
  const details = {
    ...error.details,
    httpStatus: answer.status,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
  return new LeonoreError(error.code, error.message, { cause: error.cause, details });
}

/** RFC 9110: seconds, or a date; that is compared with the server's own, whatever the clock here says. */
function retryAfter({ headers }: HttpAnswer): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text.trim())) return Number(text);
  const seconds = (Date.parse(text) - Date.parse(headers.date ?? '')) / 1000;
  return seconds >= 0 ? seconds : undefined;
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

const MAX_RETRY_AFTER_SECONDS = 3600;

/** What `Retry-After` asked for, ms; 0 when it did not. */
export function retryAfterMs(error: unknown): number {
  const seconds = error instanceof LeonoreError ? error.details['retryAfterSeconds'] : undefined;
  return typeof seconds === 'number' ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1000 : 0;
}
