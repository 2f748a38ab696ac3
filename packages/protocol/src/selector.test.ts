import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from './errors.ts';
import { matchesSelector, parseSelector } from './selector.ts';

const gateway: Record<string, string> = { site: 'vienna', arch: 'arm64', floor: '3' };
const matches = (text: string) => matchesSelector(parseSelector(text), (key) => gateway[key]);

describe('selectors', () => {
  const cases: [string, boolean][] = [
    ['*', true],
    ['site=vienna', true],
    ['site==vienna', true],
    ['site = vienna', true],
    ['site=graz', false],
    ['site!=graz', true],
    ['nosuch!=graz', true],
    ['arch in (arm64,x64)', true],
    ['arch in ( arm64 , x64 )', true],
    ['arch notin (arm64)', false],
    ['nosuch notin (a)', true],
    ['floor', true],
    ['!floor', false],
    ['!retired', true],
    ['site=vienna,arch in (arm64,x64),!retired', true],
    ['site=vienna,floor=4', false],
  ];
  for (const [text, expected] of cases) it(`${text} -> ${expected}`, () => assert.equal(matches(text), expected));

  for (const [text, words] of [
    ['', /empty/],
    ['a,,b', /nothing between two commas/],
    ['a in (b', /closing bracket/],
    ['a in b)', /brackets/],
    ['a in ()', /empty value/],
    ['*,a', /\* stands alone/],
    ['a b', /no label key/],
    ['=x', /no label key/],
  ] as const) {
    it(`${JSON.stringify(text)} is refused with words`, () => {
      assert.throws(
        () => parseSelector(text),
        (error) => isLeonoreError(error, 'selector.syntax') && words.test(error.message),
      );
    });
  }
});
