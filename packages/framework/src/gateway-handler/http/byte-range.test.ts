import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ifRangeHolds, parseRange, tagListed } from './byte-range.ts';

const ranges = (...all: [start: number, end: number][]): ReturnType<typeof parseRange> => {
  const [first, ...others] = all.map(([start, end]) => ({ start, end }));
  assert.ok(first);
  return { kind: 'ranges', ranges: [first, ...others] };
};

describe('byte ranges', () => {
  const cases: [string | undefined, ReturnType<typeof parseRange>][] = [
    [undefined, { kind: 'whole' }],
    ['bytes=0-9', ranges([0, 10])],
    ['bytes=90-', ranges([90, 100])],
    ['bytes=90-500', ranges([90, 100])],
    ['bytes=-10', ranges([90, 100])],
    ['bytes=-500', ranges([0, 100])],
    ['bytes=99-99', ranges([99, 100])],
    ['bytes=100-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    ['bytes=9-3', { kind: 'unsatisfiable' }],
    ['bytes=-', { kind: 'unsatisfiable' }],
    ['bytes=a-b', { kind: 'unsatisfiable' }],
    ['bytes=99999999999999999999-', { kind: 'unsatisfiable' }],
    ['lines=1-2', { kind: 'unsatisfiable' }],
    ['bytes=0-1,5-6', ranges([0, 2], [5, 7])],
    ['bytes=-5, 0-1, 2-9', ranges([0, 2], [2, 10], [95, 100])],
    ['bytes=0-5,5-6', { kind: 'unsatisfiable' }],
    ['bytes=0-1,100-', { kind: 'unsatisfiable' }],
    ['bytes=0-1,', { kind: 'unsatisfiable' }],
    [`bytes=${Array.from({ length: 101 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`, { kind: 'unsatisfiable' }],
  ];
  for (const [header, expected] of cases) it(`${header}`, () => assert.deepEqual(parseRange(header, 100), expected));
  it('of nothing there is none', () => assert.deepEqual(parseRange('bytes=0-', 0), { kind: 'unsatisfiable' }));
});

describe('entity tags', () => {
  it('are compared with or without quotes', () => {
    assert.ok(tagListed('"abc"', 'abc'));
    assert.ok(tagListed('abc', 'abc'));
    assert.ok(tagListed('"x", W/"abc"', 'abc'));
    assert.ok(tagListed('*', 'abc'));
    assert.ok(!tagListed('"abcd"', 'abc'));
  });
  it('another tag or an older date breaks If-Range', () => {
    const changed = Date.parse('Sun, 22 Nov 2026 10:00:00 GMT') + 700;
    const holds = (header?: string) => ifRangeHolds(header, '"abc"', changed);
    for (const header of [undefined, '"abc"', 'Sun, 22 Nov 2026 10:00:00 GMT', 'Sun, 22 Nov 2026 10:00:01 GMT'])
      assert.ok(holds(header), header);
    for (const header of ['"abd"', 'abc', 'W/"abc"', '"22 Nov 2030"', 'Sun, 22 Nov 2026 09:59:59 GMT', ''])
      assert.ok(!holds(header), header);
  });
});
