/** Small pieces of the sentences: lists, sets of versions, platforms, amounts, names that are nearly right. */
import { type Alternative, type Artifact, platformKey } from '@leonore/protocol';
import { fitsPlatform, PLATFORM_KEYS, type Runs } from './catalogue.ts';
import type { Candidate } from './candidates.ts';

const SHOWN = 4;

/** `a`, `a and b`, `a, b and c`, `a, b, c, d and 3 more`. */
export function list(items: readonly string[]): string {
  const shown = items.length > SHOWN + 1 ? [...items.slice(0, SHOWN), `${items.length - SHOWN} more`] : [...items];
  const last = shown.pop() ?? '';
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}

/** A subject and whether its verb is that of several. */
export interface Subject {
  readonly text: string;
  readonly several: boolean;
}

/** `2.1.0`, `2.x` (every version of that major that there is), `2.x and 1.0.0`, `(every version)`; newest first. */
export function versionList(some: readonly Candidate[], all: readonly Candidate[]): Subject {
  const chosen = new Set(some.map(({ version }) => version));
  const items = new Set<string>();
  for (const { version, parsed } of some.toSorted((a, b) => b.parsed.compare(a.parsed))) {
    const siblings = all.filter((one) => one.parsed.major === parsed.major && one.parsed.prerelease.length === 0);
    const whole = siblings.length > 1 && siblings.every((one) => chosen.has(one.version));
    items.add(whole && parsed.prerelease.length === 0 ? `${parsed.major}.x` : version);
  }
  if (items.size > 1 && all.every((one) => chosen.has(one.version))) return { text: '(every version)', several: false };
  return { text: list([...items]), several: items.size > 1 };
}

/** `64 MiB`; exact when it would read like `other` though it is not the same. */
export function bytes(amount: number, other = amount): string {
  const text = rounded(amount);
  return amount !== other && text === rounded(other) ? `${amount} bytes` : text;
}

function rounded(amount: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = amount;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}

/** `svm ^2`; a range that allows all is not worth a word. */
export function withRange(name: string, range: string): string {
  return range.trim() === '*' || range.trim() === '' ? name : `${name} ${range}`;
}

/** `jvm >=17 or java >=17`. */
export function alternativesText(alternatives: readonly Alternative[]): string {
  const texts = alternatives.map(({ artifact, capability, range }) => withRange(artifact ?? capability ?? '', range));
  return [...new Set(texts)].join(' or ');
}

/** What the builds need and what the gateway has instead. */
export function platformMismatch(
  builds: readonly Artifact[],
  { platform: gateway, compatibleArchs = [] }: Runs,
  several: boolean,
): { readonly needs: string; readonly has: string } {
  const platforms = [...new Map(builds.map(({ manifest }) => [platformKey(manifest.platform), manifest.platform]))];
  const names = platforms.map(([key]) => key).toSorted();
  const differing = PLATFORM_KEYS.filter((key) =>
    platforms.some(([, platform]) => !fitsPlatform({ [key]: platform[key] }, { platform: gateway, compatibleArchs })),
  );
  const [only] = differing;
  const values = new Set(platforms.map(([, platform]) => (only === undefined ? undefined : platform[only])));
  const known = PLATFORM_KEYS.flatMap((key) => gateway[key] ?? []).join('-');
  const runs = compatibleArchs.length > 0 ? ` (and runs ${list(compatibleArchs)})` : '';
  if (differing.length === 1 && only !== undefined && values.size === 1) {
    const [value] = values;
    const more = platforms.some(([, platform]) => Object.keys(platform).length > 1)
      ? ` (built for ${list(names)})`
      : '';
    const has = gateway[only] === undefined ? `names no ${only}` : `has ${gateway[only]}`;
    return {
      needs: `${several ? 'need' : 'needs'} ${only} ${value}${more}`,
      has: `${known === '' ? 'the gateway' : `gateway class ${known}`} ${has}${only === 'arch' ? runs : ''}`,
    };
  }
  return {
    needs: `${several ? 'are' : 'is'} built only for ${list(names)}`,
    has: known === '' ? 'the gateway names no platform' : `the gateway class is ${known}${runs}`,
  };
}

/** Of the names those that are a slip of the pen away, nearest first. */
export function nearNames(written: string, names: readonly string[]): readonly string[] {
  // Names of artifacts have no capitals.
  const name = written.toLowerCase();
  const allowed = Math.floor((name.length + 1) / 3);
  return names
    .filter((other) => Math.abs(other.length - name.length) <= allowed || other.includes(name) || name.includes(other))
    .map((other) => ({ other, distance: distanceBetween(name, other) }))
    .filter(({ other, distance }) => distance <= allowed || (name.length >= 3 && other.includes(name)))
    .toSorted((a, b) => a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, 3)
    .map(({ other }) => other);
}

/** Insertions, deletions and replacements of one letter, exchanges of two neighbours (optimal string alignment). */
function distanceBetween(a: string, b: string): number {
  let twoAbove: number[] = [];
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    [twoAbove, above, row] = [above, row, [i]];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = exchanged ? (twoAbove[j - 2] ?? 0) + 1 : Infinity;
      row.push(Math.min(replaced, swapped, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
  }
  return row[b.length] ?? 0;
}
