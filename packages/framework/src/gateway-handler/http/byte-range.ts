/** Byte ranges (RFC 9110, section 14). Pure. */

/** `end` is exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export type RangeAnswer =
  | { readonly kind: 'whole' }
  /** One or more, ascending, no two of which overlap. */
  | { readonly kind: 'ranges'; readonly ranges: readonly [ByteRange, ...ByteRange[]] }
  | { readonly kind: 'unsatisfiable' };

/** What a client may cut content into with one request. */
const MAX_RANGES = 100;
const UNSATISFIABLE = { kind: 'unsatisfiable' } as const;

/**
 * Reads a Range header for content of `size` bytes. As hawkBit has it, what is malformed, begins past the end or overlaps
 * is unsatisfiable, all of it.
 */
export function parseRange(header: string | undefined, size: number): RangeAnswer {
  if (header === undefined) return { kind: 'whole' };
  const match = /^bytes=\s*(.+)$/.exec(header.trim());
  const specs = match?.[1]?.split(',') ?? [];
  if (specs.length > MAX_RANGES) return UNSATISFIABLE;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec.trim(), size);
    if (!range) return UNSATISFIABLE;
    ranges.push(range);
  }
  const [first, ...others] = ranges.toSorted((a, b) => a.start - b.start);
  if (!first) return UNSATISFIABLE;
  let { end } = first;
  for (const other of others) {
    if (other.start < end) return UNSATISFIABLE;
    end = other.end;
  }
  return { kind: 'ranges', ranges: [first, ...others] };
}

function parseSpec(spec: string, size: number): ByteRange | undefined {
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

/** If-Range (RFC 9110, 13.1.5): true when the range may be used. An older date is that of other content. */
export function ifRangeHolds(header: string | undefined, etag: string, lastModified: number): boolean {
  if (header === undefined || header === etag) return true;
  // Dates have whole seconds.
  return !header.includes('"') && Date.parse(header) >= Math.floor(lastModified / 1000) * 1000;
}

/** If-None-Match / If-Match lists: `*`, or tags with or without quotes and `W/`. */
export function tagListed(header: string, tag: string): boolean {
  if (header.trim() === '*') return true;
  return header.split(',').some((entry) => entry.trim().replace(/^W\//, '').replaceAll('"', '') === tag);
}
