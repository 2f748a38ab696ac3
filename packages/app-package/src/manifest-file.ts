/**
 * Reads `leonore.yaml`. All faults are told at once, each with file, line, column and key.
 * Leaves to others: what a manifest may say (the schema in protocol), how a fault of the schema reads (manifest-words.ts).
 */
import { isAlias, isMap, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair } from 'yaml';
import { artifactManifestSchema, LeonoreError, type ArtifactManifest } from '@leonore/protocol';
import { faultsOfIssue, type ManifestFault } from './manifest-words.ts';

const MAX_CHARACTERS = 262_144;
const MAX_ALIASES = 100;

interface PlacedFault {
  readonly line: number;
  readonly column: number;
  /** `requires.artifacts`; empty where the fault is of the file as a whole. */
  readonly key: string;
  readonly message: string;
}

/**
 * `source`: how the file is called in messages.
 * @throws LeonoreError `manifest.invalid`; `details.faults` has line, column, key and message of each
 */
export function parseManifest(text: string, source: string): ArtifactManifest {
  if (text.length > MAX_CHARACTERS) {
    throw refusal(source, [
      { line: 1, column: 1, key: '', message: `has more than ${MAX_CHARACTERS} characters, which is no manifest` },
    ]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const place = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };

  const syntax = [...document.errors, ...document.warnings].map((error) => ({
    ...place(error.pos[0]),
    key: '',
    message: syntaxWords(error.code, error.message),
  }));
  const isReadable = document.errors.every(({ code }) => code === 'DUPLICATE_KEY');
  if (!isReadable) throw refusal(source, syntax);
  const value = toValue(document, source, syntax);
  const parsed = artifactManifestSchema.safeParse(value);
  if (parsed.success && syntax.length === 0) return parsed.data;
  const faults = (parsed.error?.issues ?? []).flatMap((issue) =>
    faultsOfIssue(issue, value).map((fault) => ({
      ...place(offsetOf(document, fault)),
      key: fault.path.join('.'),
      message: fault.message,
    })),
  );
  throw refusal(source, [...syntax, ...faults]);
}

function toValue(document: Document.Parsed, source: string, syntax: readonly PlacedFault[]): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw refusal(source, [...syntax, { line: 1, column: 1, key: '', message: `cannot be read: ${message}` }], error);
  }
}

/** Where to look: at the value, or at the key where that is what is wrong; where nothing is, at what should hold it. */
function offsetOf(document: Document.Parsed, { path, at }: ManifestFault): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, key] of path.entries()) {
    const holder = isAlias(node) ? node.resolve(document) : node;
    if (isSeq<Node>(holder)) {
      node = holder.items[Number(key)] ?? null;
    } else if (isMap(holder)) {
      const pair = holder.items.find((item) => keyOf(item) === String(key)) as Pair<Node, Node | null> | undefined;
      if (!pair) return offset;
      if (at === 'key' && depth === path.length - 1) return pair.key.range?.[0] ?? offset;
      // An empty value has no place of its own.
      offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else {
      return offset;
    }
    const [start, end] = node?.range ?? [offset, offset];
    if (end > start) offset = start;
  }
  return offset;
}

function keyOf({ key }: Pair): string {
  return String(typeof key === 'object' && key !== null && 'value' in key ? key.value : key);
}

/** The YAML library speaks to YAML's experts; for the usual slips there are plainer words. */
function syntaxWords(code: string, message: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'is indented with a tab; YAML takes spaces only';
    case 'DUPLICATE_KEY':
      return 'has a key that is there already; keep one of them';
    case 'MULTIPLE_DOCS':
      return 'begins a second document ("---"); a manifest is one';
    default:
      return `is not YAML: ${message.split('\n')[0] ?? message}`;
  }
}

function refusal(source: string, faults: readonly PlacedFault[], cause?: unknown): LeonoreError {
  const sorted = faults.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const lines = sorted.map(({ line, column, key, message }) => {
    return `${source}:${line}:${column}: ${key === '' ? '' : `${key} `}${message}`;
  });
  const text = lines.length === 1 ? (lines[0] ?? '') : [`${source} has ${lines.length} faults:`, ...lines].join('\n  ');
  return new LeonoreError('manifest.invalid', text, { cause, details: { source, faults: sorted } });
}
