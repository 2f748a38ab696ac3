import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { describeHandling, handlingOf, type HandlingFlags } from './handling.ts';

describe('the handling of a rollout', () => {
  it('is said in flags', () => {
    const cases: [HandlingFlags, ReturnType<typeof handlingOf>, string][] = [
      [{}, undefined, 'forced'],
      [{ mode: 'soft' }, { mode: 'soft', confirm: false }, 'soft'],
      [{ weight: '7' }, { mode: 'forced', weight: 7, confirm: false }, 'forced, weight 7'],
      [{ confirm: true }, { mode: 'forced', confirm: true }, 'forced, once confirmed'],
      [
        { mode: 'download-only', window: '0 2 * * 6', windowDuration: '2h', timezone: '+01:00' },
        {
          mode: 'download-only',
          confirm: false,
          window: { schedule: '0 2 * * 6', durationSeconds: 7200, timezone: '+01:00' },
        },
        'download-only, in the window "0 2 * * 6" for 120 min (+01:00)',
      ],
    ];
    for (const [flags, handling, words] of cases) {
      assert.deepEqual(handlingOf(flags), handling);
      assert.equal(describeHandling(handling), words);
    }
    const timed = handlingOf({ mode: 'time-forced:2026-12-24T02:00:00Z' });
    assert.deepEqual(timed, { mode: 'time-forced', forcedAt: Date.UTC(2026, 11, 24, 2), confirm: false });
    assert.match(describeHandling(timed), /^soft until 2026-12-2\d /);
  });
  it('is refused in words when it makes no sense', () => {
    const cases: [HandlingFlags, RegExp][] = [
      [{ weight: 'heavy' }, /weight/],
      [{ weight: '1001' }, /weight/],
      [{ mode: 'hard' }, /none of forced, soft/],
      [{ mode: 'time-forced' }, /time-forced:TIME/],
      [{ mode: 'time-forced:soon' }, /time-forced:TIME/],
      [{ window: '0 2 * * 6' }, /--window-duration/],
      [{ windowDuration: '2h' }, /--window/],
      [{ timezone: '+01:00' }, /--window/],
      [{ window: 'at night', windowDuration: '2h' }, /five fields/],
      [{ window: '0 0 31 2 *', windowDuration: '2h' }, /never comes/],
      [{ window: '0 2 * * *', windowDuration: '5s' }, /durationSeconds/],
      [{ window: '0 2 * * *', windowDuration: '2h', timezone: 'CET' }, /offset/],
    ];
    for (const [flags, words] of cases)
      assert.throws(
        () => handlingOf(flags),
        (error) => isLeonoreError(error, 'cli.usage') && words.test(error.message),
        JSON.stringify(flags),
      );
  });
});
