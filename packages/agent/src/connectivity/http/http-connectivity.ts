/**
 * The pull side of a gateway over hawkBit's DDI: poll, deployment, cancel, feedback, package bytes, profile.
 * Holds no disk and one ETag, so thousands fit into a process. One call is one attempt; retries are the caller's, but
 * none goes out before a `Retry-After` is over, whichever call it was the answer to.
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
import type { DownloadAnswer, DownloadRange, FeedbackOutcome } from '../channel.ts';
import { type Clock, systemClock } from '../wait.ts';
import { answerError, readJson, readYes, requireOurs, retryAfterMs } from './answers.ts';
import type { HttpAnswer, HttpClient, HttpRequest } from './http-client.ts';

export interface HttpConnectivityOptions {
  /** Base address of the server, as the user gave it. */
  readonly server: string;
  readonly tenant: string;
  readonly id: string;
  readonly secret: string;
  /** Where to poll, as enrolment said; ignored when it leads to another origin than `server`. */
  readonly ddiUrl?: string | undefined;
  readonly client: HttpClient;
  readonly clock?: Clock | undefined;
}

export interface PollAnswer {
  /** False when the server said 304: the rest is what it said before. */
  readonly changed: boolean;
  readonly sleepSeconds: number | undefined;
  readonly deploymentUrl: string | undefined;
  readonly cancelUrl: string | undefined;
  /** The server does not know which profile it has of this gateway. */
  readonly profileWanted: boolean;
  /** Where the server offers push; undefined: it did not speak of that. */
  readonly mqttUrl: string | undefined;
  readonly coapUrl: string | undefined;
}

export interface HttpConnectivity {
  poll(options?: { waitSeconds?: number | undefined; signal?: AbortSignal }): Promise<PollAnswer>;
  /** Undefined when it is no longer there. */
  deployment(url: string, signal?: AbortSignal): Promise<DdiDeployment | undefined>;
  cancel(url: string, signal?: AbortSignal): Promise<DdiCancel | undefined>;
  feedback(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  cancelFeedback(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  download(url: string, range?: DownloadRange): Promise<DownloadAnswer>;
  putProfile(profile: GatewayProfile, signal?: AbortSignal): Promise<void>;
  /** RFC 7396. */
  patchProfile(patch: unknown, signal?: AbortSignal): Promise<void>;
}

export function createHttpConnectivity(options: HttpConnectivityOptions): HttpConnectivity {
  const base = ddiBase(options);
  const authorization = `TargetToken ${options.secret}`;
  const clock = options.clock ?? systemClock;
  let last: { etag: string; answer: PollAnswer } | undefined;
  /** By the clock's `elapsed`. */
  let notBefore = -Infinity;

  const own = (link: string): URL => {
    const url = new URL(link, base);
    if (url.origin === base.origin) return url;
    throw new LeonoreError(
      'agent.unsupported',
      `the server gave a link to ${url.origin}; the gateway's token goes to ${base.origin} only. Check the server's public address`,
    );
  };
  const sendTo = async (request: HttpRequest): Promise<HttpAnswer> => {
    const isOwn = request.url.origin === base.origin;
    const waitMs = isOwn ? notBefore - clock.elapsed() : 0;
    if (waitMs > 0) await clock.sleep(waitMs, request.signal);
    const answer = await options.client.send(request);
    requireOurs(answer, request.url);
    return answer;
  };
  const send = (request: HttpRequest): Promise<HttpAnswer> =>
    sendTo({ ...request, headers: { authorization, accept: 'application/json', ...request.headers } });
  const refused = async (answer: HttpAnswer, isOwn = true): Promise<LeonoreError> => {
    const error = await answerError(answer);
    if (isOwn) notBefore = Math.max(notBefore, clock.elapsed() + retryAfterMs(error));
    return error;
  };
  const get = async <T>(schema: z.ZodType<T>, link: string, signal?: AbortSignal): Promise<T | undefined> => {
    const answer = await send({ method: 'GET', url: own(link), signal });
    if (answer.status === 404 || answer.status === 410) {
      answer.body.resume();
      return undefined;
    }
    if (answer.status !== 200) throw await refused(answer);
    return parse(schema, await readJson(answer));
  };
  const post = async (url: URL, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome> => {
    const answer = await send({ method: 'POST', url, ...jsonBody(report), signal });
    if (answer.status === 410 || answer.status === 404) {
      answer.body.resume();
      return answer.status === 410 ? 'gone' : 'unknown';
    }
    if (answer.status !== 200) throw await refused(answer);
    await readYes(answer);
    return 'accepted';
  };
  const profile = async (method: 'PUT' | 'PATCH', document: unknown, signal?: AbortSignal): Promise<void> => {
    const url = serverUrl(options.server, `/gateway/v1/${encodeURIComponent(options.id)}/profile`);
    const answer = await send({ method, url, ...jsonBody(document), signal });
    if (answer.status < 200 || answer.status > 299) throw await refused(answer);
    await readYes(answer);
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
      if (answer.status !== 200) throw await refused(answer);
      const document = parse(ddiPollSchema, await readJson(answer));
      const result: PollAnswer = {
        changed: true,
        sleepSeconds: parseSleep(document.config.polling.sleep),
        deploymentUrl: document._links?.deploymentBase?.href,
        cancelUrl: document._links?.cancelAction?.href,
        profileWanted: document._links?.configData !== undefined,
        mqttUrl: document.config.push?.mqttUrl,
        coapUrl: document.config.push?.coapUrl,
      };
      const etag = answer.headers.etag;
      last = etag === undefined ? undefined : { etag, answer: result };
      return result;
    },
    deployment: (url, signal) => get(ddiDeploymentSchema, url, signal),
    cancel: (url, signal) => get(ddiCancelSchema, url, signal),
    feedback: (actionId, report, signal) => post(action('deploymentBase', actionId), report, signal),
    cancelFeedback: (actionId, report, signal) => post(action('cancelAction', actionId), report, signal),
    async download(link, { offset = 0, end, etag, idleTimeoutMs, signal } = {}) {
      const url = new URL(link, base);
      const isRange = offset > 0 || end !== undefined;
      const answer = await sendTo({
        method: 'GET',
        url,
        idleTimeoutMs,
        headers: {
          accept: 'application/octet-stream',
          ...(url.origin === base.origin ? { authorization } : {}),
          ...(isRange ? { range: `bytes=${offset}-${end === undefined ? '' : end - 1}` } : {}),
          ...(isRange && etag !== undefined ? { 'if-range': etag } : {}),
        },
        signal,
      });
      if (answer.status !== 200 && answer.status !== 206) throw await refused(answer, url.origin === base.origin);
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

function downloadAnswer(answer: HttpAnswer, offset: number): DownloadAnswer {
  const etag = answer.headers.etag;
  if (answer.status === 200) {
    return { offset: 0, total: length(answer.headers['content-length']), etag, body: answer.body };
  }
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(answer.headers['content-range'] ?? '');
  if (!range || Number(range[1]) !== offset) {
    answer.body.destroy();
    throw new LeonoreError('agent.download', `asked for bytes from ${offset} on, the server sent other ones`);
  }
  return { offset, end: Number(range[2]) + 1, total: length(range[3]), etag, body: answer.body };
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
