/**
 * Faults that the manifest's schema finds, in words for the one who writes the file: what is wrong and what to write.
 * Pure; knows schemas only by their shape.
 */
import { artifactManifestSchema } from '@leonore/protocol';

export interface ManifestFault {
  readonly path: readonly PropertyKey[];
  /** What the fault is about: the value there, or its key. */
  readonly at: 'key' | 'value';
  /** To be read after the key and a colon. */
  readonly message: string;
}

type Issue = NonNullable<ReturnType<typeof artifactManifestSchema.safeParse>['error']>['issues'][number];

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  object: 'keys with values',
  record: 'keys with values',
  boolean: 'true or false',
  array: 'a list',
};

const EXAMPLES: Readonly<Record<string, string>> = { name: 'sedona-vm', version: '1.2.28' };

/** `root`: the whole manifest as it was read. `written`: how the value at a path stands in the file. */
export function faultsOfIssue(
  issue: Issue,
  root: unknown,
  written: (path: readonly PropertyKey[]) => string,
): ManifestFault[] {
  const { path } = issue;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], at: 'key', message: unknownKey(key, path) }));
    case 'invalid_key':
      return [{ path, at: 'key', message: keyWords(issue.issues) }];
    case 'invalid_type':
      return [{ path, at: 'value', message: typeWords(issue.expected, path, valueAt(root, path), written(path)) }];
    case 'invalid_union':
      return [{ path, at: 'value', message: 'must be a number of bytes, or a text like 64MiB' }];
    case 'invalid_value':
      return [
        { path, at: 'value', message: `must be ${oneOf(issue.values.map(String))}, not ${shown(valueAt(root, path))}` },
      ];
    case 'too_small':
      return [{ path, at: 'value', message: `must be at least ${issue.minimum}, not ${shown(valueAt(root, path))}` }];
    case 'too_big':
      return [{ path, at: 'value', message: tooBigWords(issue.origin, issue.maximum, valueAt(root, path)) }];
    case 'custom':
    case 'invalid_format':
    case 'invalid_element':
    case 'not_multiple_of':
      return [{ path, at: 'value', message: withFound(issue.message, valueAt(root, path)) }];
    default:
      return issue satisfies never;
  }
}

function unknownKey(key: string, path: readonly PropertyKey[]): string {
  const known = keysAt(path);
  const near = known.find((name) => isNear(key.toLowerCase(), name.toLowerCase()));
  const guess = near === undefined ? '' : `; do you mean "${near}"?`;
  const where = path.length === 0 ? 'a manifest' : `"${path.join('.')}"`;
  return `is unknown${guess}${guess === '' ? ';' : ''} the keys of ${where} are ${known.join(', ')}`;
}

function keyWords(issues: readonly { readonly message: string }[]): string {
  const message = issues[0]?.message ?? '';
  if (message.startsWith('Invalid string')) {
    return 'is no name of an environment variable; those have letters, digits and "_" and begin with no digit';
  }
  return `cannot be a key here: ${message}`;
}

function typeWords(expected: string, path: readonly PropertyKey[], value: unknown, text: string): string {
  const kind = KINDS[expected] ?? expected;
  const key = String(path.at(-1) ?? '');
  if (path.length === 0) {
    const empty = value === null || value === undefined;
    return `${empty ? 'the manifest is empty' : `the manifest is ${shown(value)}`}; it has keys with values, at least name and version`;
  }
  if (value === undefined) return `is missing; write for example ${key}: ${EXAMPLES[key] ?? kind}`;
  if (value === null) return `has no value; give it ${kind}, or take the line out`;
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) {
    const example = path.length === 1 ? EXAMPLES[key] : undefined;
    const advice = example === undefined ? `write it in quotes: ${key}: "${text}"` : `write it like ${key}: ${example}`;
    return `must be a text, but YAML reads ${text} as a ${typeof value}; ${advice}`;
  }
  return `must be ${kind}, not ${shown(value)}`;
}

/** The keys that the schema knows at `path`. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: unknown = artifactManifestSchema;
  for (const key of path) schema = typeof key === 'number' ? elementOf(schema) : shapeOf(schema)[String(key)];
  return Object.keys(shapeOf(schema));
}

/** An object schema's members. */
function shapeOf(schema: unknown): Readonly<Record<string, unknown>> {
  return (memberOf(schema, 'shape') ?? {}) as Record<string, unknown>;
}

/** The schema of a list's elements. */
function elementOf(schema: unknown): unknown {
  return memberOf(schema, 'element');
}

/** Those around the schema that has it (default, optional) are looked through. */
function memberOf(schema: unknown, member: string): unknown {
  let inner = schema;
  for (;;) {
    if (typeof inner !== 'object' || inner === null) return undefined;
    if (member in inner) return (inner as Record<string, unknown>)[member];
    if (!('def' in inner)) return undefined;
    inner = (inner.def as { innerType?: unknown }).innerType;
  }
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map of keys';
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function tooBigWords(origin: string, maximum: number | bigint, value: unknown): string {
  return origin === 'string'
    ? `must have at most ${maximum} characters`
    : `must be at most ${maximum}, not ${shown(value)}`;
}

function withFound(message: string, value: unknown): string {
  return message.includes(shown(value)) ? message : `${message} (found ${shown(value)})`;
}

function oneOf(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1) ?? ''}`;
}

/** At most two letters wrong, missing or too many (Levenshtein), and less than half of the word. */
function isNear(a: string, b: string): boolean {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return (row[b.length] ?? 0) <= Math.min(2, Math.floor((b.length - 1) / 2));
}
