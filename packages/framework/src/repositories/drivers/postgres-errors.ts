/** PostgreSQL's errors, by SQLSTATE (appendix A of its manual) and by the codes of the network: which mean what to us. */
import { LeonoreError } from '@leonore/protocol';

/** serialization_failure, deadlock_detected: the same transaction again may succeed. */
export function lostToAnother(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

const NETWORK = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH']);
/** connection_exception; too_many_connections; admin_shutdown, crash_shutdown, cannot_connect_now. */
const UNREACHABLE = /^(08...|53300|57P0[123])$/;
/** What pg says without a code when a connection goes or none can be had. */
const UNREACHABLE_WORDS =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;
const DISK_FULL = '53100';
/** character_not_in_repertoire: U+0000, which no name has. */
const NO_TEXT = '22021';

/** Throws what an operator can do something about as a LeonoreError, anything else as it is. */
export function explainPostgres(error: unknown): never {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : '';
  if (NETWORK.has(code) || UNREACHABLE.test(code) || UNREACHABLE_WORDS.test(message)) {
    throw new LeonoreError(
      'server.unreachable',
      `PostgreSQL does not answer (${message || code}); see that it runs and that the database url is right, then try again`,
      { cause: error },
    );
  }
  if (code === DISK_FULL) {
    throw new LeonoreError('storage.full', 'the disk of PostgreSQL is full; free some space there and try again', {
      cause: error,
    });
  }
  if (code === NO_TEXT) {
    throw new LeonoreError('request.invalid', 'a text in the request holds the character U+0000; leave it out', {
      cause: error,
    });
  }
  throw error;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
