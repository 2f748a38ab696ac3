import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isOpen, localTime, nextOpening, parseDownloadWindow } from './download-windows.ts';

const at = (hour: number, minute: number): Date => new Date(2026, 10, 22, hour, minute);

void test('a window reads like 22:00-05:00, and what is none is said', () => {
  assert.deepEqual(parseDownloadWindow('22:00-05:00'), { from: 1320, to: 300 });
  assert.deepEqual(parseDownloadWindow(' 0:30 - 24:00'), { from: 30, to: 1440 });
  for (const text of [
    '',
    '22-5',
    '24:00-05:00',
    '22:60-05:00',
    '10:00-10:00',
    '22:00-25:00',
    '22:00',
    '22:00-05:00x',
  ]) {
    assert.throws(() => parseDownloadWindow(text), /reads like 22:00-05:00/, text);
  }
});

void test('open within, over midnight too; closed at its end; always without windows', () => {
  const night = [parseDownloadWindow('22:00-05:00'), parseDownloadWindow('12:00-12:30')];
  const open = [at(22, 0), at(23, 59), at(0, 0), at(4, 59), at(12, 0), at(12, 29)];
  for (const time of open) assert.ok(isOpen(night, time), String(time));
  for (const time of [at(21, 59), at(5, 0), at(11, 59), at(12, 30)]) assert.ok(!isOpen(night, time), String(time));
  assert.ok(isOpen([], at(3, 3)));
});

void test('the next opening is the first moment at which it is open, today or tomorrow', () => {
  const minute = fc.integer({ min: 0, max: 1439 });
  const window = fc.record({ from: minute, to: minute }).filter(({ from, to }) => from !== to);
  fc.assert(
    fc.property(fc.array(window, { minLength: 1, maxLength: 4 }), minute, (windows, now) => {
      const date = at(0, now);
      fc.pre(!isOpen(windows, date));
      const opening = nextOpening(windows, date);
      assert.ok(opening > date && isOpen(windows, opening));
      for (let time = date.getTime(); time < opening.getTime(); time += 60_000) {
        assert.ok(!isOpen(windows, new Date(time)));
      }
    }),
    { numRuns: 100 },
  );
});

void test('a time is said with its date only when it is another day', () => {
  assert.equal(localTime(at(22, 0), at(9, 5)), '22:00');
  assert.equal(localTime(new Date(2026, 10, 23, 5, 7), at(9, 5)), '2026-11-23 05:07');
});
