/**
 * The pull side of a gateway over hawkBit's DDI: poll, deployment, cancel, feedback, package bytes, profile.
 * Holds no disk and one ETag, so thousands fit into a process. One call is one attempt; retries are the caller's.
 * The token goes to the server's own origin only: links of the API that lead elsewhere are refused, package bytes
 * (checked by digest) may come from elsewhere but are asked for without it.
 */
import {
  type DdiCancel,
  type DdiDeployment,
  type DdiFeedback,
  ddiCancelSchema,
  ddiDeploymentSchema,
  ddiPollSchema,
  type GatewayProfile,
  LeonoreError,
  parseSleep,
} from '@leonore/protocol';
import type { z } from 'zod';
import { serverUrl } from './enrol.ts';
import { answerError, type HttpAnswer, type HttpClient, type HttpRequest, readJson } from './http-client.ts';

export interface HttpConnectivityOptions {
  /** Base address of the server, as the user gave it. */
  readonly server: string;
  readonly tenant: string;
  readonly id: string;
  readonly secret: string;
  /** Where to poll, as enrolment said; ignored when it leads to another origin than `server`. */
  readonly ddiUrl?: string | undefined;
  readonly client: HttpClient;
}

export interface PollAnswer {
  /** False when the server said 304: the rest is what it said before. */
  readonly changed: boolean;
  readonly sleepSeconds: number | undefined;
  readonly deploymentUrl: string | undefined;
  readonly cancelUrl: string | undefined;
}

/** `gone`: the task has ended, forget it. `unknown`: this server does not know it. */
export type FeedbackOutcome = 'accepted' | 'gone' | 'unknown';

export interface DownloadAnswer {
  /** Where in the package `body` starts: the asked offset, or 0 when the server sends all of it. */
  readonly offset: number;
  /** Length of the whole package as the server says, bytes. */
  readonly total: number | undefined;
  readonly etag: string | undefined;
  /** Ends early without an error in no case: a cut connection throws. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface HttpConnectivity {
  poll(options?: { waitSeconds?: number | undefined; signal?: AbortSignal }): Promise<PollAnswer>;
  /** Undefined when it is no longer there. */
  deployment(url: string, signal?: AbortSignal): Promise<DdiDeployment | undefined>;
  cancel(url: string, signal?: AbortSignal): Promise<DdiCancel | undefined>;
  feedback(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  cancelFeedback(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  /** Bytes from `offset` on, provided they are still those that `etag` names. */
  download(
    url: string,
    range?: { offset?: number; etag?: string | undefined; signal?: AbortSignal | undefined },
  ): Promise<DownloadAnswer>;
  putProfile(profile: GatewayProfile, signal?: AbortSignal): Promise<void>;
  /** RFC 7396. */
  patchProfile(patch: unknown, signal?: AbortSignal): Promise<void>;
}

export function createHttpConnectivity(options: HttpConnectivityOptions): HttpConnectivity {
  const base = ddiBase(options);
  const authorization = `TargetToken ${options.secret}`;
  let last: { etag: string; answer: PollAnswer } | undefined;

  const own = (link: string): URL => {
    const url = new URL(link, base);
    if (url.origin === base.origin) return url;
    throw new LeonoreError(
      'agent.unsupported',
      `the server gave a link to ${url.origin}; the gateway's token goes to ${base.origin} only. Check the server's public address`,
    );
  };
  const send = (request: HttpRequest): Promise<HttpAnswer> =>
    options.client.send({
      ...request,
      headers: { authorization, accept: 'application/json', ...request.headers },
    });
  const get = async <T>(schema: z.ZodType<T>, link: string, signal?: AbortSignal): Promise<T | undefined> => {
    const answer = await send({ method: 'GET', url: own(link), signal });
    if (answer.status === 404 || answer.status === 410) {
      answer.body.resume();
      return undefined;
    }
    if (answer.status !== 200) throw await answerError(answer);
    return parse(schema, await readJson(answer));
  };
  const post = async (url: URL, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome> => {
    const answer = await send({ method: 'POST', url, ...jsonBody(report), signal });
    if (answer.status === 410 || answer.status === 404) {
      answer.body.resume();
      return answer.status === 410 ? 'gone' : 'unknown';
    }
    if (answer.status !== 200) throw await answerError(answer);
    answer.body.resume();
    return 'accepted';
  };
  const profile = async (method: 'PUT' | 'PATCH', document: unknown, signal?: AbortSignal): Promise<void> => {
    const url = serverUrl(options.server, `/gateway/v1/${encodeURIComponent(options.id)}/profile`);
    const answer = await send({ method, url, ...jsonBody(document), signal });
    if (answer.status < 200 || answer.status > 299) throw await answerError(answer);
    answer.body.resume();
  };
  const action = (kind: string, id: string): URL => new URL(`${base.href}/${kind}/${encodeURIComponent(id)}/feedback`);

  return {
    async poll({ waitSeconds, signal } = {}) {
      const answer = await send({
        method: 'GET',
        url: base,
        headers: {
          ...(last ? { 'if-none-match': last.etag } : {}),
          ...(waitSeconds ? { prefer: `wait=${waitSeconds}` } : {}),
        },
        ...(waitSeconds ? { idleTimeoutMs: (waitSeconds + 30) * 1000 } : {}),
        signal,
      });
      if (answer.status === 304 && last) {
        answer.body.resume();
        return { ...last.answer, changed: false };
      }
      if (answer.status !== 200) throw await answerError(answer);
      const document = parse(ddiPollSchema, await readJson(answer));
      const result: PollAnswer = {
        changed: true,
        sleepSeconds: parseSleep(document.config.polling.sleep),
        deploymentUrl: document._links?.deploymentBase?.href,
        cancelUrl: document._links?.cancelAction?.href,
      };
      const etag = answer.headers.etag;
      last = etag === undefined ? undefined : { etag, answer: result };
      return result;
    },
    deployment: (url, signal) => get(ddiDeploymentSchema, url, signal),
    cancel: (url, signal) => get(ddiCancelSchema, url, signal),
    feedback: (actionId, report, signal) => post(action('deploymentBase', actionId), report, signal),
    cancelFeedback: (actionId, report, signal) => post(action('cancelAction', actionId), report, signal),
    async download(link, { offset = 0, etag, signal } = {}) {
      const url = new URL(link, base);
      const answer = await options.client.send({
        method: 'GET',
        url,
        headers: {
          accept: 'application/octet-stream',
          ...(url.origin === base.origin ? { authorization } : {}),
          ...(offset > 0 ? { range: `bytes=${offset}-` } : {}),
          ...(offset > 0 && etag !== undefined ? { 'if-range': etag } : {}),
        },
        signal,
      });
      return downloadAnswer(answer, offset);
    },
    putProfile: (document, signal) => profile('PUT', document, signal),
    patchProfile: (patch, signal) => profile('PATCH', patch, signal),
  };
}

function ddiBase(options: HttpConnectivityOptions): URL {
  const built = serverUrl(
    options.server,
    `/${options.tenant.toUpperCase()}/controller/v1/${encodeURIComponent(options.id)}`,
  );
  const told = options.ddiUrl === undefined ? undefined : URL.parse(options.ddiUrl.replace(/\/+$/, ''));
  return told?.origin === built.origin ? told : built;
}

async function downloadAnswer(answer: HttpAnswer, offset: number): Promise<DownloadAnswer> {
  const etag = answer.headers.etag;
  if (answer.status === 200) {
    return { offset: 0, total: length(answer.headers['content-length']), etag, body: answer.body };
  }
  if (answer.status !== 206) throw await answerError(answer);
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers['content-range'] ?? '');
  if (!range || Number(range[1]) !== offset) {
    answer.body.destroy();
    throw new LeonoreError('agent.download', `asked for bytes from ${offset} on, the server sent other ones`);
  }
  return { offset, total: length(range[2]), etag, body: answer.body };
}

function length(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

function jsonBody(document: unknown): { headers: Record<string, string>; body: string } {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(document) };
}

function parse<T>(schema: z.ZodType<T>, document: unknown): T {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new LeonoreError('request.invalid', 'the server answered in a form this agent does not know', {
    cause: parsed.error,
  });
}
