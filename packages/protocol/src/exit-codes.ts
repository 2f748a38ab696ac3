/** How LEONORE's programs end. */
import type { LeonoreError } from './errors.ts';

/** 0 done; 1 it failed; 2 the call was wrong; 3 not found; 4 not allowed; 5 no server reached. */
export const EXIT = { done: 0, failed: 1, usage: 2, notFound: 3, notAllowed: 4, unreachable: 5 } as const;

const USAGE_CODES: ReadonlySet<string> = new Set([
  'cli.usage',
  'config.invalid',
  'request.invalid',
  'selector.syntax',
  'selector.unknown-key',
]);

export function exitCodeOf(error: LeonoreError): number {
  if (error.code === 'server.unreachable' || error.code === 'server.stopping') return EXIT.unreachable;
  if (error.code.startsWith('auth.')) return EXIT.notAllowed;
  if (error.status === 404) return EXIT.notFound;
  return USAGE_CODES.has(error.code) ? EXIT.usage : EXIT.failed;
}
