/** Enrolment: one call that makes a gateway known. The secret is the caller's, kept before it is sent. */
import { type EnrolAnswer, type EnrolRequest, enrolAnswerSchema, LeonoreError } from '@leonore/protocol';
import { answerError, readJson, requireOurs } from './answers.ts';
import type { HttpClient } from './http-client.ts';

export interface EnrolOptions extends EnrolRequest {
  /** Base address of the server. */
  readonly server: string;
  readonly client: HttpClient;
  readonly signal?: AbortSignal;
}

/** One attempt. @throws LeonoreError `token.invalid`, `gateway.taken`, `request.*`, or `server.*` (may pass by itself). */
export async function enrol(options: EnrolOptions): Promise<EnrolAnswer> {
  const { server, client, signal, ...request } = options;
  const body: EnrolRequest = {
    token: request.token,
    id: request.id,
    secret: request.secret,
    ...(request.profile ? { profile: request.profile } : {}),
  };
  const url = serverUrl(server, '/gateway/v1/enrol');
  const answer = await client.send({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
  requireOurs(answer, url);
  if (answer.status !== 200 && answer.status !== 201) throw await answerError(answer);
  const parsed = enrolAnswerSchema.safeParse(await readJson(answer));
  if (!parsed.success) {
    throw new LeonoreError('request.invalid', `${server} answered the enrolment in a form this agent does not know`, {
      cause: parsed.error,
    });
  }
  return parsed.data;
}

/** `path` below the server's base address, which may itself have a path. */
export function serverUrl(server: string, path: string): URL {
  return new URL(server.replace(/\/+$/, '') + path);
}
