import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ifRangeHolds, parseRange, tagListed } from './byte-range.ts';

describe('byte ranges', () => {
  const cases: [string | undefined, ReturnType<typeof parseRange>][] = [
    [undefined, { kind: 'whole' }],
    ['bytes=0-9', { kind: 'range', start: 0, end: 10 }],
    ['bytes=90-', { kind: 'range', start: 90, end: 100 }],
    ['bytes=90-500', { kind: 'range', start: 90, end: 100 }],
    ['bytes=-10', { kind: 'range', start: 90, end: 100 }],
    ['bytes=-500', { kind: 'range', start: 0, end: 100 }],
    ['bytes=99-99', { kind: 'range', start: 99, end: 100 }],
    ['bytes=100-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    ['bytes=9-3', { kind: 'unsatisfiable' }],
    ['bytes=-', { kind: 'unsatisfiable' }],
    ['bytes=a-b', { kind: 'unsatisfiable' }],
    ['bytes=99999999999999999999-', { kind: 'unsatisfiable' }],
    ['lines=1-2', { kind: 'unsatisfiable' }],
    ['bytes=0-1,5-6', { kind: 'whole' }],
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
  it('another tag or a date breaks If-Range', () => {
    assert.ok(ifRangeHolds(undefined, '"abc"'));
    assert.ok(ifRangeHolds('"abc"', '"abc"'));
    assert.ok(!ifRangeHolds('"abd"', '"abc"'));
    assert.ok(!ifRangeHolds('Sun, 22 Nov 2026 10:00:00 GMT', '"abc"'));
  });
});
