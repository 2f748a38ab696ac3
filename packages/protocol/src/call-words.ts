/** The words of a call that more than one program reads: durations, rates, labels. Each fault is a `cli.usage` that says how it reads. */
import { bytesSchema } from './artifact.ts';
import { LeonoreError } from './errors.ts';
import { type Labels, labelsSchema } from './profile.ts';

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `500ms`, `30s`, `5m`, `2h`, `7d`; a bare number is seconds. @throws LeonoreError `cli.usage`. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?$/.exec(text.trim());
  if (!match) throw new LeonoreError('cli.usage', `"${text}" is no duration; it reads like 30s, 5m, 2h or 7d`);
  return Math.round(Number(match[1]) * UNIT_MS[(match[2] ?? 's') as keyof typeof UNIT_MS]);
}

/** Bytes per second of `50kB/s`, `1MiB`, `2000`. @throws LeonoreError `cli.usage`. */
export function parseRate(text: string): number {
  const amount = text.trim().replace(/\/s$/, '');
  const parsed = bytesSchema.safeParse(/^\d+$/.test(amount) ? Number(amount) : amount);
  if (parsed.success && parsed.data > 0) return parsed.data;
  throw new LeonoreError('cli.usage', `"${text}" is no rate; it reads like 50kB/s or 1MiB/s`);
}

/** `site=vienna` words as labels. @throws LeonoreError `cli.usage`. */
export function parseLabels(words: readonly string[]): Labels {
  const entries = words.map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) throw new LeonoreError('cli.usage', `"${word}" is no label; it reads like site=vienna`);
    return [word.slice(0, at), word.slice(at + 1)] as const;
  });
  return checkLabels(Object.fromEntries(entries));
}

/** @throws LeonoreError `cli.usage`, naming the label. */
export function checkLabels(labels: Record<string, string>): Labels {
  const parsed = labelsSchema.safeParse(labels);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const key = issue?.path.map(String).join('.') ?? '';
  const why = issue?.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue?.message;
  throw new LeonoreError('cli.usage', `the label "${key}" cannot be set: ${why}`);
}

/** Control characters, which could move the cursor or recolour the screen, as visible marks; line ends and tabs as blanks. */
export function harmless(text: string): string {
  return text.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\uFFFD');
}
