/** What the benchmarks' command lines have in common. */
import { LeonoreError } from '@leonore/protocol';

/** @throws LeonoreError `cli.usage` */
export function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  throw new LeonoreError('cli.usage', `${name} is "${text}"; it must be a whole number from ${least} on`);
}
