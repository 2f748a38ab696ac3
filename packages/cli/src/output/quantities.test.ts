import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { formatAge, formatBytes, formatDuration, parseDuration } from './quantities.ts';

describe('quantities', () => {
  it('bytes', () => {
    const cases = [
      [0, '0 B'],
      [1023, '1023 B'],
      [1024, '1.0 KiB'],
      [120_000, '117 KiB'],
      [1_048_570, '1.0 MiB'],
      [13 * 2 ** 20, '13.0 MiB'],
      [2 ** 50, '1024 TiB'],
    ] as const;
    for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
  });

  it('durations', () => {
    const cases = [
      [-5, '0.0 s'],
      [449, '0.4 s'],
      [9949, '9.9 s'],
      [9950, '10 s'],
      [59_600, '1 min 00 s'],
      [125_000, '2 min 05 s'],
      [7_800_000, '2 h 10 min'],
      [356_400_000, '4 d 3 h'],
    ] as const;
    for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
  });

  it('ages, behind and ahead', () => {
    const now = 1_000_000_000;
    const cases = [
      [undefined, 'never'],
      [now - 500, 'just now'],
      [now - 30_000, '30 s ago'],
      [now - 240_000, '4 min ago'],
      [now + 3 * 3_600_000, 'in 3 h'],
      [now + 30 * 86_400_000, 'in 30 d'],
    ] as const;
    for (const [at, text] of cases) assert.equal(formatAge(at, now), text);
  });

  it('reads durations, and refuses what is none', () => {
    const cases = [
      ['500ms', 500],
      ['30s', 30_000],
      ['30', 30_000],
      ['1.5m', 90_000],
      ['2h', 7_200_000],
      ['7d', 604_800_000],
    ] as const;
    for (const [text, ms] of cases) assert.equal(parseDuration(text), ms);
    for (const text of ['', 'soon', '-1s', '1 year', '1s2'])
      assert.throws(
        () => parseDuration(text),
        (e) => isLeonoreError(e, 'cli.usage'),
      );
  });
});
