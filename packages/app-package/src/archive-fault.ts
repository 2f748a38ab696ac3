/** Faults of archives, in one voice: which entry, what is wrong with it, what to do. */
import { LeonoreError } from '@leonore/protocol';

const SHOWN_CHARACTERS = 200;

/** An entry's name as it may be shown: quoted, without control characters, of bounded length. */
export function quoted(name: string): string {
  const text = name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}...` : name;
  return JSON.stringify(text).replaceAll(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Something that is never unpacked. `subject`: what it is about, as shown to people. */
export function hostile(subject: string, why: string, cause?: unknown): LeonoreError {
  return fault(
    'archive.hostile',
    subject,
    `${why}; the whole archive is refused, pack it again with "leonore artifact pack"`,
    cause,
  );
}

/** Bytes that are damaged or missing. */
export function corrupt(subject: string, why: string, cause?: unknown): LeonoreError {
  return fault('archive.corrupt', subject, `${why}; bring it here again`, cause);
}

/** Sound bytes that are not those that were announced. */
export function mismatch(subject: string, why: string, cause?: unknown): LeonoreError {
  return fault('archive.mismatch', subject, `${why}; the whole archive is refused`, cause);
}

function fault(
  code: 'archive.hostile' | 'archive.corrupt' | 'archive.mismatch',
  subject: string,
  what: string,
  cause: unknown,
): LeonoreError {
  return new LeonoreError(code, `${subject} ${what}`, { cause, details: { entry: subject } });
}
