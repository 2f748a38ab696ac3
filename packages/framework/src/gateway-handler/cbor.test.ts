import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import fc from 'fast-check';
import { decodeCbor, encodeCbor } from './cbor.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

/** RFC 8949, appendix A: those of JSON's kinds. The third: only read in this form. */
const VECTORS: [string, unknown, 'read-only'?][] = [
  ['00', 0],
  ['17', 23],
  ['1818', 24],
  ['1903e8', 1000],
  ['1a000f4240', 1_000_000],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['20', -1],
  ['3863', -100],
  ['3903e7', -1000],
  ['f90000', 0, 'read-only'],
  ['f93c00', 1, 'read-only'],
  ['fb3ff199999999999a', 1.1],
  ['f93e00', 1.5, 'read-only'],
  ['f97bff', 65_504, 'read-only'],
  ['fa47c35000', 100_000, 'read-only'],
  ['fb7e37e43c8800759c', 1e300],
  ['f90001', 5.960464477539063e-8, 'read-only'],
  ['f9c400', -4, 'read-only'],
  ['fbc010666666666666', -4.1],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['f7', null, 'read-only'],
  ['60', ''],
  ['6449455446', 'IETF'],
  ['62c3bc', 'ü'],
  ['64f0908591', '\u{10151}'],
  ['80', []],
  ['83010203', [1, 2, 3]],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  ['a0', {}],
  ['a26161016162820203', { a: 1, b: [2, 3] }],
  ['826161a161626163', ['a', { b: 'c' }]],
  ['7f657374726561646d696e67ff', 'streaming', 'read-only'],
  ['9f018202039f0405ffff', [1, [2, 3], [4, 5]], 'read-only'],
  ['bf61610161629f0203ffff', { a: 1, b: [2, 3] }, 'read-only'],
  ['c11a514b67b0', 1_363_896_240, 'read-only'],
];

describe('CBOR', () => {
  for (const [bytes, value, only] of VECTORS) {
    it(`${bytes} is ${JSON.stringify(value)}`, () => {
      assert.deepEqual(decodeCbor(hex(bytes)), value);
      if (!only) assert.equal(encodeCbor(value).toString('hex'), bytes);
    });
  }
  it('of any JSON comes back as it was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) =>
        assert.deepEqual(decodeCbor(encodeCbor(value)), JSON.parse(JSON.stringify(value))),
      ),
    );
  });
  it('that is broken, has bytes, or goes on after its end is refused', () => {
    const broken = [
      '',
      '18',
      '61',
      '8201',
      'a161',
      '9f01',
      'ff',
      '0001',
      '4101',
      'a10102',
      '1f',
      'fc',
      '5f4101ff',
      '1c',
    ];
    for (const bytes of [...broken, '81'.repeat(100_000), '9bffffffffffffffff', '7bffffffffffffffff']) {
      assert.throws(
        () => decodeCbor(hex(bytes)),
        (error) => isLeonoreError(error, 'request.invalid'),
        bytes.slice(0, 20),
      );
    }
  });
  it('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeCbor(bytes);
        } catch (error) {
          assert.ok(isLeonoreError(error, 'request.invalid'));
        }
      }),
      { numRuns: 500 },
    );
  });
});
