/**
 * Pages by keyset: a cursor is the sort key of the last item, so that rows that come or go in between move no page.
 * To callers it is opaque text; what does not decode is their fault, not ours.
 */
import { LeonoreError, type Page } from '@leonore/protocol';

type Key = string | number;

/** Name of the list and kinds of its sort key's parts, so that the cursor of another list is refused. */
export interface CursorForm<K extends readonly Key[]> {
  readonly list: string;
  readonly example: K;
  /** What more a key must be. */
  readonly accepts?: (key: K) => boolean;
}

export function encodeCursor<K extends readonly Key[]>(form: CursorForm<K>, key: K): string {
  return Buffer.from(JSON.stringify([form.list, ...key])).toString('base64url');
}

/** @throws LeonoreError `request.invalid` */
export function decodeCursor<K extends readonly Key[]>(form: CursorForm<K>, cursor: string | undefined): K | undefined {
  if (cursor === undefined) return undefined;
  const parts = parse(cursor);
  const [list, ...key] = parts;
  const fits =
    list === form.list &&
    key.length === form.example.length &&
    key.every(
      (part, i) =>
        typeof part === typeof form.example[i] &&
        (typeof part === 'string' ? !part.includes('\0') : Number.isSafeInteger(part)),
    );
  if (!fits || form.accepts?.(key as unknown as K) === false) throw broken(cursor);
  return key as unknown as K;
}

function parse(cursor: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(parsed)) return parsed;
  } catch {
    // Told below.
  }
  throw broken(cursor);
}

function broken(cursor: string): LeonoreError {
  return new LeonoreError(
    'request.invalid',
    'the cursor is not one that this list gave; leave it out to begin at the first page, or pass "next" of a page as it is',
    { details: { cursor: cursor.slice(0, 100) } },
  );
}

/** Of `limit + 1` rows read, the page and the cursor of the next one. */
export function toPage<Row, Item, K extends readonly Key[]>(
  rows: readonly Row[],
  limit: number,
  form: CursorForm<K>,
  keyOf: (row: Row) => K,
  itemOf: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(itemOf),
    ...(rows.length > limit && last !== undefined ? { next: encodeCursor(form, keyOf(last)) } : {}),
  };
}
