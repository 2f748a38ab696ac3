/** Versions against ranges, as npm has it, with each range parsed once. */
import semver, { type SemVer } from 'semver';

export interface Ranges {
  /** npm's rule: a pre-release fits only a range that names a pre-release of the same MAJOR.MINOR.PATCH. */
  fits(version: SemVer, range: string): boolean;
  /** Pre-releases fit as their order says; for what must not be overlooked (conflicts) and what is there anyway. */
  covers(version: SemVer, range: string): boolean;
}

export function createRanges(): Ranges {
  const strict = new Map<string, semver.Range | undefined>();
  const loose = new Map<string, semver.Range | undefined>();

  function test(version: SemVer, text: string, known: typeof strict, includePrerelease: boolean): boolean {
    let range = known.get(text);
    if (range === undefined && !known.has(text)) {
      // A range that does not parse fits nothing; the schemas at the border refuse it before it gets here.
      if (semver.validRange(text) !== null) range = new semver.Range(text, { includePrerelease });
      known.set(text, range);
    }
    return range?.test(version) ?? false;
  }

  return {
    fits: (version, range) => test(version, range, strict, false),
    covers: (version, range) => test(version, range, loose, true),
  };
}

/** A capability's version may be short (`17`) or have more than semver allows (`17.0.15.1`). */
export function capabilityVersion(text: string): SemVer | undefined {
  return semver.parse(text) ?? semver.coerce(text) ?? undefined;
}

/** The value under a key that came from outside and may read like a member of Object. */
export function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
