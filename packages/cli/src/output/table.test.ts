import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPaint, harmless } from './paint.ts';
import { cut, renderFacts, renderTable, widthOf } from './table.ts';
import { renderTree } from './tree.ts';

const paint = createPaint(false);

describe('tables', () => {
  it('are as wide as their widest cell, wide characters counted twice', () => {
    const rows = [
      { a: 'x', b: 5 },
      { a: '東京', b: 12_345 },
    ];
    const lines = renderTable(
      rows,
      [
        { title: 'a', value: (row) => row.a },
        { title: 'count', value: (row) => String(row.b), align: 'right' },
        { title: 'end', value: () => '' },
      ],
      { paint },
    );
    assert.deepEqual(lines, ['A     COUNT  END', 'x         5', '東京  12345']);
  });

  it('colours do not shift columns', () => {
    const colour = createPaint(true);
    const [, first, second] = renderTable(
      ['a', 'bb'],
      [
        { title: 'x', value: (v) => colour.good(v) },
        { title: 'y', value: () => '|' },
      ],
      { paint },
    );
    assert.equal(first?.length, second?.length);
  });

  it('are cut to the terminal', () => {
    assert.equal(cut('abcdef', 4), 'abc…');
    assert.equal(cut('abcd', 4), 'abcd');
    assert.equal(widthOf(cut('東京東京', 5)), 5);
  });

  it('facts leave out what is not known', () => {
    assert.deepEqual(
      renderFacts(
        [
          ['id', 'gw'],
          ['host', undefined],
          ['labels', ''],
        ],
        paint,
      ),
      ['id  gw'],
    );
  });

  it('trees', () => {
    const tree = [{ text: 'a', children: [{ text: 'b' }, { text: 'c', children: [{ text: 'd' }] }] }, { text: 'e' }];
    assert.deepEqual(renderTree(tree), ['├─ a', '│  ├─ b', '│  └─ c', '│     └─ d', '└─ e']);
  });

  it('harmless takes the teeth out of control characters', () => {
    assert.equal(harmless('a\u001B[31mb\u0007\r\nc\td\u202Ee\u009B'), 'a\uFFFD[31mb\uFFFD c d\uFFFDe\uFFFD');
    assert.equal(harmless('ünïcode 東京'), 'ünïcode 東京');
  });
});
