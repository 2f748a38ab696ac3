/** Reads the words of a call: counts, labels, names with versions. Each fault is a `cli.usage` that says how it reads. */
import {
  artifactNameSchema,
  checkLabels,
  INSTALLED_KEY_PREFIX,
  type Labels,
  LeonoreError,
  parseLabels,
  versionSchema,
} from '@leonore/protocol';
import { InvalidArgumentError } from 'commander';
import { harmless } from '../output/paint.ts';

export { parseLabels } from '@leonore/protocol';

/** For options that may be given again. */
export function collectValues(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 on.');
  return Number(text);
}

/** `site=vienna` sets, `site-` takes away: as a merge patch. */
export function parseLabelChanges(words: readonly string[]): Record<string, string | null> {
  const removed = words.filter((word) => !word.includes('=') && word.endsWith('-')).map((word) => word.slice(0, -1));
  const set = parseLabels(words.filter((word) => word.includes('=') || !word.endsWith('-')));
  checkLabels(Object.fromEntries(removed.map((key) => [key, ''])));
  return { ...set, ...Object.fromEntries(removed.map((key) => [key, null])) };
}

export function formatLabels(labels: Labels): string {
  return harmless(
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  );
}

/** `NAME` or `NAME@VERSION`. */
export function parseNameAndVersion(text: string): { name: string; version: string | undefined } {
  const at = text.indexOf('@');
  if (at < 0) return { name: text, version: undefined };
  if (at === 0 || at === text.length - 1) {
    throw new LeonoreError('cli.usage', `"${text}" is no artifact; it reads like svm or svm@1.2.28`);
  }
  return { name: text.slice(0, at), version: text.slice(at + 1) };
}

/** `1 gateway`, `14 gateways` */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `--runs NAME[@VERSION]` as a selector, together with another. */
export function selectorOfRunning(text: string, selector: string | undefined): string {
  const { name, version } = parseNameAndVersion(text);
  const exact = version === undefined || versionSchema.safeParse(version).success;
  if (!artifactNameSchema.safeParse(name).success || !exact) {
    const hint = exact ? '' : `; for a range of versions ask leonore artifact usage ${text}`;
    throw new LeonoreError('cli.usage', `"${text}" is nothing to run; it reads like svm or svm@1.2.28${hint}`);
  }
  const term = `${INSTALLED_KEY_PREFIX}${name}${version === undefined ? '' : `=${version}`}`;
  return selector === undefined || selector.trim() === '*' ? term : `${selector},${term}`;
}
