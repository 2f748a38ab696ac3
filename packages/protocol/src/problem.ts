/** problem+json (RFC 9457) to and from LeonoreError: how errors travel over HTTP. */
import { z } from 'zod';
import { ERRORS, isErrorCode, LeonoreError } from './errors.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'A name of the error, stable: urn:leonore:error:CODE' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What is wrong here and what to do about it.' }),
    code: z.string().meta({ description: 'Stable code, see the error reference.' }),
    retryable: z.boolean().optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

export function toProblem(error: LeonoreError): Problem {
  const kind = ERRORS[error.code];
  return {
    type: `urn:leonore:error:${error.code}`,
    title: kind.title,
    status: kind.status,
    detail: error.message,
    code: error.code,
    retryable: kind.retryable,
    ...(Object.keys(error.details).length > 0 ? { details: { ...error.details } } : {}),
  };
}

/** Reads an error answer; a body that is no problem+json (a proxy's page, say) becomes an error that says so. */
export function fromProblem(status: number, body: unknown): LeonoreError {
  const parsed = problemSchema.safeParse(body);
  if (parsed.success && isErrorCode(parsed.data.code)) {
    return new LeonoreError(parsed.data.code, parsed.data.detail, { details: parsed.data.details ?? {} });
  }
  const code =
    status === 401
      ? 'auth.wrong'
      : status === 403
        ? 'auth.forbidden'
        : status === 404
          ? 'route.unknown'
          : status >= 500
            ? 'server.unreachable'
            : 'request.invalid';
  const said = parsed.success ? parsed.data.detail : typeof body === 'string' ? body.slice(0, 200) : '';
  return new LeonoreError(code, `the server answered ${status}${said ? `: ${said}` : ''}`);
}
