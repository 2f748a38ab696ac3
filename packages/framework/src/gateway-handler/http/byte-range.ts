/** Byte ranges (RFC 9110, section 14). Pure. */

export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  | { readonly kind: 'unsatisfiable' };

/**
 * Reads a Range header for content of `size` bytes; `end` is exclusive. Several ranges at once are answered with the
 * whole content, which RFC 9110 allows; a malformed header or a start past the end is unsatisfiable, as hawkBit has it.
 */
export function parseRange(header: string | undefined, size: number): RangeAnswer {
  if (header === undefined) return { kind: 'whole' };
  const match = /^bytes=\s*(.+)$/.exec(header.trim());
  if (!match) return { kind: 'unsatisfiable' };
  const specs = (match[1] ?? '').split(',').map((spec) => parseSpec(spec.trim(), size));
  const [first] = specs;
  if (!first || specs.some((spec) => spec === undefined)) return { kind: 'unsatisfiable' };
  if (specs.length > 1) return { kind: 'whole' };
  return { kind: 'range', ...first };
}

function parseSpec(spec: string, size: number): { start: number; end: number } | undefined {
  const match = /^(\d{0,15})-(\d{0,15})$/.exec(spec);
  if (!match) return undefined;
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return undefined;
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? undefined : { start: size - length, end: size };
  }
  const start = Number(from);
  const end = to === '' ? size : Math.min(Number(to) + 1, size);
  return start < end ? { start, end } : undefined;
}

/** If-Range (RFC 9110, 13.1.5): true when the range may be used. A date is never the one of this content. */
export function ifRangeHolds(header: string | undefined, etag: string): boolean {
  return header === undefined || header === etag;
}

/** If-None-Match / If-Match lists: `*`, or tags with or without quotes and `W/`. */
export function tagListed(header: string, tag: string): boolean {
  if (header.trim() === '*') return true;
  return header.split(',').some((entry) => entry.trim().replace(/^W\//, '').replaceAll('"', '') === tag);
}
