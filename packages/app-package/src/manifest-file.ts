/**
 * Reads `leonore.yaml`. All faults are told at once, each with file, line, column and key.
 * Leaves to others: what a manifest may say (the schema in protocol), how a fault of the schema reads (manifest-words.ts).
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
} from 'yaml';
import { artifactManifestSchema, LeonoreError, type ArtifactManifest } from '@leonore/protocol';
import { faultsOfIssue, type ManifestFault } from './manifest-words.ts';

const MAX_CHARACTERS = 262_144;
const MAX_ALIASES = 100;
/** Some slips make the YAML reader stumble over everything that follows. */
const MAX_FAULTS = 50;

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

  const syntax: PlacedFault[] = [...document.errors, ...document.warnings].map((error) => ({
    ...place(error.pos[0]),
    key: error.code === 'DUPLICATE_KEY' ? (/^[^\s:]+/.exec(text.slice(error.pos[0]))?.[0] ?? '') : '',
    message: syntaxWords(error.code, error.message),
  }));
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) throw refusal(source, syntax);
  const dangling = danglingAliases(document).map(({ offset, message }) => ({ ...place(offset), key: '', message }));
  if (dangling.length > 0) throw refusal(source, [...syntax, ...dangling]);
  const value = toValue(document, source, syntax);
  const written = (path: readonly PropertyKey[]): string => {
    const node = document.getIn(path, true);
    return isScalar(node) ? (node.source ?? String(node.value)) : '';
  };
  const parsed = artifactManifestSchema.safeParse(value);
  if (parsed.success && syntax.length === 0) return parsed.data;
  const faults = (parsed.error?.issues ?? []).flatMap((issue) =>
    faultsOfIssue(issue, value, written).map((fault) => ({
      ...place(offsetOf(document, fault)),
      key: fault.path.join('.'),
      message: fault.message,
    })),
  );
  throw refusal(source, [...syntax, ...faults]);
}

function danglingAliases(document: Document.Parsed): { offset: number; message: string }[] {
  const found: { offset: number; message: string }[] = [];
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document)) return;
      const message = `*${alias.source} refers to an anchor that is not there; a text that begins with * stands in quotes`;
      found.push({ offset: alias.range?.[0] ?? 0, message });
    },
  });
  return found;
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
      return 'is there already; keep one of them';
    case 'NON_STRING_KEY':
      return 'has a key that is no text';
    case 'MULTIPLE_DOCS':
      return 'begins a second document ("---"); a manifest is one';
    default:
      return `is not YAML: ${message.split('\n')[0] ?? message}`;
  }
}

function refusal(source: string, faults: readonly PlacedFault[], cause?: unknown): LeonoreError {
  const sorted = faults
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .filter(isNew)
    .slice(0, MAX_FAULTS);
  const lines = sorted.map(({ line, column, key, message }) => {
    return `${source}:${line}:${column}: ${key === '' ? '' : `${key}: `}${message}`;
  });
  const text = lines.length === 1 ? (lines[0] ?? '') : [`${source} has ${lines.length} faults:`, ...lines].join('\n  ');
  return new LeonoreError('manifest.invalid', text, { cause, details: { source, faults: sorted } });
}

/** Of several syntax errors at one place the first says most. */
function isNew(fault: PlacedFault, index: number, all: readonly PlacedFault[]): boolean {
  const before = all[index - 1];
  return fault.key !== '' || before?.line !== fault.line || before.column !== fault.column;
}
