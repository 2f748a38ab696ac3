/**
 * How every list and show writes its answer: `-o table|json|yaml|name`. Only the answer goes to stdout.
 * JSON and YAML carry the API's own objects; `name` is one name for each line, for scripts.
 */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Terminal } from '../terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { type Column, renderTable } from './table.ts';

export const OUTPUT_FORMATS = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to write the answer').choices(OUTPUT_FORMATS).default('table'),
  );
}

export interface ListView<T> {
  readonly columns: (paint: Paint) => readonly Column<T>[];
  readonly name: (item: T) => string;
  /** What to do when there is nothing, said on stderr. */
  readonly whenEmpty: string;
}

export async function emitList<T>(
  terminal: Terminal,
  format: OutputFormat,
  items: readonly T[],
  view: ListView<T>,
): Promise<void> {
  if (items.length === 0 && (format === 'table' || format === 'name')) {
    terminal.err(view.whenEmpty);
    return;
  }
  if (await emitData(terminal, format, items)) return;
  if (format === 'name') {
    for (const item of items) terminal.out(view.name(item));
    return;
  }
  const paint = createPaint(terminal.outColour);
  const width = terminal.outIsTerminal ? terminal.columns() : undefined;
  for (const line of renderTable(items, view.columns(paint), { paint, width })) terminal.out(line);
}

export async function emitOne<T>(
  terminal: Terminal,
  format: OutputFormat,
  item: T,
  view: { readonly name: (item: T) => string; readonly render: (item: T, paint: Paint) => readonly string[] },
): Promise<void> {
  if (await emitData(terminal, format, item)) return;
  if (format === 'name') terminal.out(view.name(item));
  else for (const line of view.render(item, createPaint(terminal.outColour))) terminal.out(line);
}

/** True when the format was one for machines and is written. */
async function emitData(terminal: Terminal, format: OutputFormat, data: unknown): Promise<boolean> {
  switch (format) {
    case 'json':
      terminal.out(JSON.stringify(data, undefined, 2));
      return true;
    case 'yaml': {
      const { stringify } = await import('yaml');
      terminal.write(stringify(data, { aliasDuplicateObjects: false }));
      return true;
    }
    case 'table':
    case 'name':
      return false;
    default:
      return format satisfies never;
  }
}
