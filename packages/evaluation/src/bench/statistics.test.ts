import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { median, percentile } from './statistics.ts';

void test('median and percentile of known values', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(percentile([5], 0.99), 5);
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 1), 100);
  assert.equal(percentile(hundred, 0), 1);
});

void test('at least that share of the values is not above a percentile, and it is one of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const found = percentile(values, share);
        const below = values.filter((value) => value <= found).length;
        assert.ok(values.includes(found));
        assert.ok(below >= share * values.length - 1e-9);
        assert.ok(values.filter((value) => value < found).length <= share * values.length);
      },
    ),
  );
});

void test('no values have no median and no percentile', () => {
  assert.throws(() => median([]), RangeError);
  assert.throws(() => percentile([], 0.5), RangeError);
});
