/**
 * A version as text that sorts, byte by byte, as semver.org section 11 orders versions: so that SQL can order builds and
 * page through them. Pure.
 */
import semver from 'semver';

// Bytes that end a list of identifiers, begin a numeric or an alphanumeric one, or stand for "no prerelease", in their order.
const END = '0';
const NUMERIC = '1';
const ALPHANUMERIC = '2';
const RELEASE = '3';
/** Lower than every character of an identifier. */
const STOP = '!';
const DIGITS = 16;

export function versionOrder(version: string): string {
  const parsed = semver.parse(version, { loose: false });
  if (!parsed) throw new TypeError(`"${version}" is no semantic version`);
  const core = [parsed.major, parsed.minor, parsed.patch].map(padded).join('');
  if (parsed.prerelease.length === 0) return core + RELEASE;
  return core + parsed.prerelease.map(identifier).join('') + END;
}

function identifier(part: string | number): string {
  return typeof part === 'number' ? NUMERIC + padded(part) : ALPHANUMERIC + part + STOP;
}

/** Numbers of a version are safe integers: at most 16 digits. */
function padded(value: number): string {
  return String(value).padStart(DIGITS, '0');
}
