/**
 * Selectors, as Kubernetes writes them: `site=vienna,arch in (arm64,armv7),!retired`. Terms are joined by "and".
 * Forms: `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` (has it), `!key`; `*` is all.
 * Pure: the gateway repository turns the same terms into SQL.
 */
import { LeonoreError } from './errors.ts';

export type SelectorTerm =
  | { readonly kind: 'in'; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: 'notin'; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: 'exists'; readonly key: string }
  | { readonly kind: 'missing'; readonly key: string };

export interface Selector {
  readonly text: string;
  /** Empty = every gateway. */
  readonly terms: readonly SelectorTerm[];
}

const KEY = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/;
const VALUE = /^[^\s,()=!]*$/;

/** @throws LeonoreError `selector.syntax`, naming the term and what was expected. */
export function parseSelector(text: string): Selector {
  const trimmed = text.trim();
  if (trimmed === '') throw syntax(text, 'it is empty; write * to select every gateway');
  if (trimmed === '*') return { text: '*', terms: [] };
  return { text: trimmed, terms: splitTerms(trimmed).map((term) => parseTerm(text, term.trim())) };
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
    if (depth < 0 || depth > 1) throw syntax(text, `the brackets do not fit at position ${i + 1}`);
  }
  if (depth !== 0) throw syntax(text, 'a closing bracket is missing');
  terms.push(text.slice(start));
  return terms;
}

function parseTerm(whole: string, term: string): SelectorTerm {
  if (term === '') throw syntax(whole, 'there is nothing between two commas');
  if (term === '*') throw syntax(whole, '* stands alone');
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    if (values.some((value) => value === '')) throw syntax(whole, `"${term}" has an empty value in its brackets`);
    return {
      kind: set[2] as 'in' | 'notin',
      key: key(whole, set[1] ?? ''),
      values: values.map((v) => value(whole, v)),
    };
  }
  const compare = /^([^=!\s]+)\s*(==|=|!=)\s*(.*)$/.exec(term);
  if (compare) {
    return {
      kind: compare[2] === '!=' ? 'notin' : 'in',
      key: key(whole, compare[1] ?? ''),
      values: [value(whole, compare[3] ?? '')],
    };
  }
  if (term.startsWith('!')) return { kind: 'missing', key: key(whole, term.slice(1).trim()) };
  return { kind: 'exists', key: key(whole, term) };
}

function key(whole: string, text: string): string {
  if (!KEY.test(text)) throw syntax(whole, `"${text}" is no label key`);
  return text;
}

function value(whole: string, text: string): string {
  if (!VALUE.test(text)) throw syntax(whole, `"${text}" is no label value`);
  return text;
}

function syntax(text: string, why: string): LeonoreError {
  return new LeonoreError(
    'selector.syntax',
    `cannot read the selector "${text}": ${why}. It reads like site=vienna,arch in (arm64,x64),!retired`,
    {
      details: { selector: text },
    },
  );
}

/** `lookup` gives a key's value or undefined. A gateway without the key matches `notin` (as in Kubernetes). */
export function matchesSelector(selector: Selector, lookup: (key: string) => string | undefined): boolean {
  return selector.terms.every((term) => {
    const found = lookup(term.key);
    switch (term.kind) {
      case 'in':
        return found !== undefined && term.values.includes(found);
      case 'notin':
        return found === undefined || !term.values.includes(found);
      case 'exists':
        return found !== undefined;
      case 'missing':
        return found === undefined;
      default:
        return term satisfies never;
    }
  });
}
