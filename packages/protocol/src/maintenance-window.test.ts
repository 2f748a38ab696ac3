import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maintenanceWindowAt, maintenanceWindowSchema, maintenanceWindowWithin } from './maintenance-window.ts';

const at = (text: string) => Date.parse(text);
const window = (schedule: string, durationSeconds = 7200, timezone = '+00:00') =>
  maintenanceWindowSchema.parse({ schedule, durationSeconds, timezone });

describe('a maintenance window', () => {
  const cases: [string, string, string, boolean, string][] = [
    // Schedule, offset, now, open, next opening.
    ['0 2 * * *', '+00:00', '2026-11-22T01:59:59Z', false, '2026-11-22T02:00:00Z'],
    ['0 2 * * *', '+00:00', '2026-11-22T02:00:00Z', true, '2026-11-23T02:00:00Z'],
    ['0 2 * * *', '+00:00', '2026-11-22T03:59:59Z', true, '2026-11-23T02:00:00Z'],
    ['0 2 * * *', '+00:00', '2026-11-22T04:00:00Z', false, '2026-11-23T02:00:00Z'],
    ['0 2 * * *', '+01:00', '2026-11-22T01:30:00Z', true, '2026-11-23T01:00:00Z'],
    ['0 2 * * *', '-05:30', '2026-11-22T07:29:00Z', false, '2026-11-22T07:30:00Z'],
    // Saturday.
    ['30 23 * * 6', '+00:00', '2026-11-22T01:00:00Z', true, '2026-11-28T23:30:00Z'],
    ['0 0 * * 7', '+00:00', '2026-11-22T00:00:00Z', true, '2026-11-29T00:00:00Z'],
    ['*/15 1-3 1,15 * *', '+00:00', '2026-11-22T00:00:00Z', false, '2026-12-01T01:00:00Z'],
    // Either day is enough.
    ['0 0 1 * 1', '+00:00', '2026-11-24T12:00:00Z', false, '2026-11-30T00:00:00Z'],
    ['0 0 29 2 *', '+00:00', '2026-11-24T12:00:00Z', false, '2028-02-29T00:00:00Z'],
  ];
  for (const [schedule, offset, now, open, opens] of cases) {
    it(`${schedule} ${offset} at ${now}`, () => {
      const found = maintenanceWindowAt(window(schedule, 7200, offset), at(now));
      assert.deepEqual([found.open, new Date(found.opensAt).toISOString()], [open, new Date(opens).toISOString()]);
    });
  }
  for (const schedule of [
    '',
    '0 2 * *',
    '60 2 * * *',
    '0 2 * * 8',
    '0 5-3 * * *',
    '*/0 * * * *',
    '0 0 30 2 *',
    'a * * * *',
  ])
    it(`"${schedule}" is none`, () =>
      assert.ok(!maintenanceWindowSchema.safeParse({ schedule, durationSeconds: 60 }).success));
  it('is open from each opening for as long as it lasts, and not just before', () => {
    const times = fc.integer({ min: 0, max: at('2060-01-01T00:00:00Z') });
    const one = fc.record({
      schedule: fc.constantFrom('0 2 * * *', '30 4 1 * *', '15 */6 * * 1-5', '0 0 1 1 *'),
      durationSeconds: fc.integer({ min: 60, max: 5 * 3600 }),
      timezone: fc.constantFrom('+00:00', '-11:30', '+14:00'),
    });
    fc.assert(
      fc.property(one, times, (wanted, now) => {
        const { opensAt } = maintenanceWindowAt(wanted, now);
        assert.ok(opensAt > now);
        assert.ok(maintenanceWindowAt(wanted, opensAt).open);
        assert.ok(maintenanceWindowAt(wanted, opensAt + wanted.durationSeconds * 1000 - 1).open);
        assert.ok(!maintenanceWindowAt(wanted, opensAt - 1).open);
        assert.ok(maintenanceWindowWithin(wanted, now, opensAt));
        assert.equal(maintenanceWindowWithin(wanted, opensAt - 1, opensAt - 1), false);
      }),
      { numRuns: 60 },
    );
  });
});
