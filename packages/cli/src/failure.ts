/** The CLI's one translator of errors: an exit code, one clear line, and where it helps a hint. Pure. */
import {
  type ErrorCode,
  exitCodeOf,
  type Explanation,
  explanationSchema,
  isLeonoreError,
  type LeonoreError,
} from '@leonore/protocol';
export { exitCodeOf } from '@leonore/protocol';
import { EXIT } from './exit-codes.ts';
import { isLocal } from './settings/connection.ts';
import { Interrupted } from './terminal.ts';

/** A failure whose words were already written; only its exit code is left. */
export class Reported extends Error {
  override readonly name = 'Reported';
  readonly exitCode: number;
  constructor(exitCode: number) {
    super('reported');
    this.exitCode = exitCode;
  }
}

export interface Failure {
  readonly exitCode: number;
  /** Nothing to say when absent. */
  readonly message?: string;
  readonly hint?: string;
  readonly explanation?: Explanation;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof Reported || error instanceof Interrupted) return { exitCode: error.exitCode };
  if (isLeonoreError(error)) return describeLeonoreError(error);
  if (isZodError(error)) return { exitCode: EXIT.usage, message: error.issues[0]?.message ?? 'the call was wrong' };
  if (error instanceof Error) {
    if (error.cause instanceof Interrupted) return { exitCode: error.cause.exitCode };
    return { exitCode: EXIT.failed, message: error.message || error.name };
  }
  return { exitCode: EXIT.failed, message: String(error) };
}

function describeLeonoreError(error: LeonoreError): Failure {
  const hint = hintFor(error);
  const explanation = explanationSchema.safeParse(error.details['explanation']).data;
  return {
    exitCode: exitCodeOf(error),
    message: error.message,
    ...(hint === undefined ? {} : { hint }),
    ...(explanation === undefined ? {} : { explanation }),
  };
}

const ASK_FOR_TOKEN =
  'a node keeps its admin token in DATA/admin-token (by default ./leonore-data/admin-token); give it with --token, LEONORE_TOKEN or leonore login URL';
const SHOW_SELECTED = 'leonore gateway list --select EXPR shows what a selector matches; * is every gateway';

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  'auth.missing': ASK_FOR_TOKEN,
  'auth.wrong': ASK_FOR_TOKEN,
  'artifact.unknown': 'leonore artifact list shows what is published',
  'artifact.conflict': 'a published build never changes: raise the version in leonore.yaml and publish again',
  'gateway.unknown': 'leonore gateway list shows every gateway',
  'rollout.unknown': 'leonore rollout list shows every rollout',
  'package.unknown': 'leonore package list shows every package',
  'token.unknown': 'leonore gateway token list shows every enrolment token',
  'selector.no-match': SHOW_SELECTED,
  'selector.unknown-key': SHOW_SELECTED,
};

function hintFor(error: LeonoreError): string | undefined {
  if (error.code !== 'server.unreachable') return HINTS[error.code];
  const url = error.details['url'];
  return typeof url === 'string' && isLocal(url)
    ? 'start a node with: leonore node   or name another one with --server, LEONORE_URL or leonore login'
    : 'check the address and the network; --server, LEONORE_URL or leonore login name another node';
}

interface ZodLike {
  readonly issues: readonly { readonly message: string }[];
}

function isZodError(error: unknown): error is Error & ZodLike {
  return error instanceof Error && 'issues' in error && Array.isArray(error.issues);
}
