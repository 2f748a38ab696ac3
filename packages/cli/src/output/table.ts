/** Text tables: columns as wide as their content, no lines, so that they read well and cut well. Pure. */
import { stripVTControlCharacters } from 'node:util';
import type { Paint } from './paint.ts';

export interface Column<T> {
  readonly title: string;
  readonly value: (item: T) => string;
  readonly align?: 'left' | 'right';
}

export interface TableOptions {
  readonly paint: Paint;
  /** Lines are cut to it; absent = as wide as needed. */
  readonly width?: number | undefined;
}

export function renderTable<T>(items: readonly T[], columns: readonly Column<T>[], options: TableOptions): string[] {
  const head = columns.map((column) => column.title.toUpperCase());
  const rows = items.map((item) => columns.map((column) => column.value(item)));
  const widths = head.map((title, index) => Math.max(...[title, ...rows.map((row) => row[index] ?? '')].map(widthOf)));
  const line = (cells: readonly string[]) => {
    const padded = cells.map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align ?? 'left'));
    return cut(padded.join('  ').trimEnd(), options.width);
  };
  return [options.paint.strong(line(head)), ...rows.map(line)];
}

/** Pairs of a word and what it is, the words as wide as the longest. Absent values are left out. */
export function renderFacts(facts: readonly (readonly [string, string | undefined])[], paint: Paint): string[] {
  const known = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined && fact[1] !== '');
  const width = Math.max(0, ...known.map(([word]) => word.length));
  return known.map(([word, value]) => `${paint.faint(word.padEnd(width))}  ${value}`);
}

/** Columns that a text takes on a terminal: wide characters count twice, marks and colours not at all. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of stripVTControlCharacters(text)) {
    if (/\p{Mn}/u.test(char)) continue;
    width +=
      /[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6]|\p{Emoji_Presentation}/u.test(
        char,
      )
        ? 2
        : 1;
  }
  return width;
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'left' ? text + blanks : blanks + text;
}

/** Cuts a line to the width of the terminal; colours are given up for a line that has to be cut. */
export function cut(line: string, width: number | undefined): string {
  if (width === undefined || widthOf(line) <= width) return line;
  let result = '';
  let used = 0;
  for (const char of stripVTControlCharacters(line)) {
    used += widthOf(char);
    if (used > width - 1) break;
    result += char;
  }
  return `${result}…`;
}
