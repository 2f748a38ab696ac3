/**
 * JSON that is the same bytes for the same value: keys sorted, undefined left out, no white space. `written` gives the
 * text of parts that were written before.
 */
export function canonicalJson(value: unknown, written?: (part: object) => string | undefined): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const known = written?.(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, written)).join(',')}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  // By code units, as `<` compares them; no two keys are equal.
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member, written)}`).join(',')}}`;
}
