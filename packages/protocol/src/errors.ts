/**
 * The one error type of LEONORE and the table of everything that can go wrong. Each edge translates it once:
 * problem+json over HTTP (RFC 9457), an exit code and one line in the CLI, a report from the agent.
 * Leaves to others: when to throw. Expected outcomes (no install plan, say) are unions, not errors.
 */

/** HTTP status, whether the same call may succeed later, and what it means in words for people. */
interface ErrorKind {
  readonly status: number;
  readonly retryable: boolean;
  readonly title: string;
}

export const ERRORS = {
  'request.invalid': { status: 400, retryable: false, title: 'The request is not of the expected form.' },
  'request.json': { status: 400, retryable: false, title: 'The body is not valid JSON.' },
  'request.too-large': { status: 413, retryable: false, title: 'The body is larger than this call takes.' },
  'request.media-type': { status: 415, retryable: false, title: 'The content type is not one this call takes.' },
  'request.not-acceptable': { status: 406, retryable: false, title: 'None of the accepted types can be answered.' },
  'request.method': { status: 405, retryable: false, title: 'This address does not know that method.' },
  'request.range': { status: 416, retryable: false, title: 'The asked range lies outside of the content.' },
  'request.precondition': { status: 412, retryable: false, title: 'The content is not the one that If-Match names.' },
  'request.rate': { status: 429, retryable: true, title: 'Too many requests.' },
  'route.unknown': { status: 404, retryable: false, title: 'There is nothing at this address.' },
  'auth.missing': { status: 401, retryable: false, title: 'Credentials are missing.' },
  'auth.wrong': { status: 401, retryable: false, title: 'The credentials are not valid.' },
  'auth.forbidden': { status: 403, retryable: false, title: 'These credentials do not allow that.' },
  'selector.syntax': { status: 400, retryable: false, title: 'The selector cannot be read.' },
  'selector.unknown-key': { status: 400, retryable: false, title: 'The selector uses a key that no gateway has.' },
  'selector.no-match': { status: 409, retryable: false, title: 'The selector matches no gateway.' },
  'manifest.invalid': { status: 400, retryable: false, title: 'The artifact manifest is not valid.' },
  'artifact.unknown': { status: 404, retryable: false, title: 'There is no such artifact.' },
  'artifact.conflict': { status: 409, retryable: false, title: 'This build is already published with other content.' },
  'artifact.withdrawn': { status: 409, retryable: false, title: 'This version was withdrawn.' },
  'artifact.segment-missing': { status: 409, retryable: false, title: 'A segment was not uploaded completely.' },
  'upload.unknown': { status: 404, retryable: false, title: 'There is no such upload.' },
  'upload.offset': { status: 409, retryable: true, title: 'The upload continues at another offset.' },
  'upload.digest': { status: 422, retryable: false, title: 'The uploaded bytes do not have the announced digest.' },
  'upload.too-large': { status: 413, retryable: false, title: 'The upload is larger than announced or allowed.' },
  'archive.hostile': { status: 422, retryable: false, title: 'The archive holds something that is never unpacked.' },
  'archive.corrupt': { status: 422, retryable: false, title: 'The archive is damaged.' },
  'archive.mismatch': { status: 422, retryable: false, title: 'The archive is not what its manifest says.' },
  'plan.unsatisfiable': { status: 409, retryable: false, title: 'No set of artifacts fulfils the request.' },
  'package.unknown': { status: 404, retryable: false, title: 'There is no such package.' },
  'gateway.unknown': { status: 404, retryable: false, title: 'There is no such gateway.' },
  'profile.base': { status: 409, retryable: false, title: 'This change was made from another profile than is known.' },
  'gateway.confirms': { status: 409, retryable: false, title: 'The gateway confirms every task by itself already.' },
  'gateway.taken': { status: 409, retryable: false, title: 'Another gateway already has this id.' },
  'token.invalid': { status: 401, retryable: false, title: 'The enrolment token is not valid.' },
  'token.unknown': { status: 404, retryable: false, title: 'There is no such enrolment token.' },
  'rollout.unknown': { status: 404, retryable: false, title: 'There is no such rollout.' },
  'rollout.state': { status: 409, retryable: false, title: 'The rollout is in a state that does not allow this.' },
  'task.unknown': { status: 404, retryable: false, title: 'There is no such task.' },
  'task.closed': { status: 410, retryable: false, title: 'This task has ended.' },
  'task.state': { status: 405, retryable: false, title: 'The task is not in a state that allows this.' },
  'quota.exceeded': { status: 429, retryable: false, title: 'A limit is reached.' },
  'package.format': { status: 409, retryable: false, title: 'No format that this gateway installs can carry this.' },
  'storage.quota': { status: 507, retryable: false, title: "The store's limit is reached." },
  'storage.full': { status: 507, retryable: true, title: 'There is not enough disk space.' },
  'storage.corrupt': { status: 500, retryable: false, title: 'Stored bytes do not have their digest any more.' },
  'server.unreachable': { status: 503, retryable: true, title: 'The server cannot be reached.' },
  'server.stopping': { status: 503, retryable: true, title: 'This node is shutting down.' },
  'server.internal': { status: 500, retryable: true, title: 'Something went wrong inside.' },
  'agent.unsupported': { status: 409, retryable: false, title: 'This gateway cannot do that.' },
  'agent.script-failed': { status: 500, retryable: false, title: 'A control script failed.' },
  'agent.unhealthy': { status: 500, retryable: false, title: 'The application did not become healthy.' },
  'agent.disk-full': { status: 507, retryable: false, title: 'The gateway has not enough free disk space.' },
  'agent.download': { status: 502, retryable: true, title: 'The package could not be downloaded.' },
  'cli.usage': { status: 400, retryable: false, title: 'The call was wrong.' },
  'config.invalid': { status: 400, retryable: false, title: 'The configuration is not valid.' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** What went wrong (`code`), said so that the reader knows what to do (`message`), with facts for machines (`details`). */
export class LeonoreError extends Error {
  override readonly name = 'LeonoreError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  /** HTTP status code (RFC 9110). */
  get status(): number {
    return ERRORS[this.code].status;
  }

  /** True when the same call may succeed later without a change. */
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

export function isLeonoreError(error: unknown, code?: ErrorCode): error is LeonoreError {
  return error instanceof LeonoreError && (code === undefined || error.code === code);
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

/** Any thrown value as a LeonoreError; what is not one becomes `server.internal` with the original as cause. */
export function toLeonoreError(error: unknown): LeonoreError {
  if (error instanceof LeonoreError) return error;
  return new LeonoreError('server.internal', error instanceof Error ? error.message : String(error), { cause: error });
}
