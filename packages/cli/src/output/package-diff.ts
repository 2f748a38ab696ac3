/** The difference of two packages as text: components with their versions and bytes, below each its files. Pure. */
import type { ComponentDiff, PackageDiff } from '@leonore/protocol';
import { harmless, type Paint } from './paint.ts';
import { formatBytes } from './quantities.ts';
import { renderTree } from './tree.ts';

export interface PackageDiffOptions {
  readonly paint: Paint;
  /** At most so many files of a component. */
  readonly shownFiles: number;
}

export function renderPackageDiff(diff: PackageDiff, options: PackageDiffOptions): string[] {
  const { paint } = options;
  const { full, least } = diff.bytes;
  const share = full > 0 && least < full ? ` (${((least / full) * 100).toFixed(1)} %)` : '';
  return [
    `${paint.strong(diff.from)} -> ${paint.strong(diff.to)}`,
    '',
    ...diff.components.flatMap((component) => renderComponent(component, options)),
    ...(diff.components.length > 0 ? [''] : []),
    `${paint.faint('over the air')}  ${formatBytes(full)} as a whole, ${paint.strong(formatBytes(least))} at least${share}`,
  ];
}

function renderComponent(component: ComponentDiff, { paint, shownFiles }: PackageDiffOptions): string[] {
  const { name, from, to } = component;
  const versions = from === to || from === undefined || to === undefined ? (to ?? from) : `${from} -> ${to}`;
  const { sign, colour, word } = marked(component, paint);
  const head = `${colour(`${sign} ${paint.strong(name)} ${versions}`)}  ${paint.faint([word, bytesOf(component)].filter(Boolean).join(', '))}`;
  const shown = component.files.slice(0, shownFiles).map((file) => ({ text: renderFile(file, paint) }));
  const more = component.files.length - shown.length;
  const rest = more > 0 ? [{ text: paint.faint(`and ${more} more; --all-files shows them`) }] : [];
  return [head.trimEnd(), ...renderTree([...shown, ...rest], '  ')];
}

function marked({ change }: ComponentDiff, paint: Paint) {
  switch (change) {
    case 'added':
      return { sign: '+', colour: paint.good, word: '' };
    case 'removed':
      return { sign: '-', colour: paint.bad, word: '' };
    case 'updated':
      return { sign: '~', colour: paint.busy, word: '' };
    case 'rebuilt':
      return { sign: '~', colour: paint.busy, word: 'same version, other content' };
    case 'same':
      return { sign: '=', colour: paint.faint, word: 'the same' };
    default:
      return change satisfies never;
  }
}

function bytesOf({ bytes: { full, delta } }: ComponentDiff): string {
  if (full === 0) return '';
  if (delta === undefined) return formatBytes(full);
  return delta === 0
    ? `nothing of ${formatBytes(full)} to send`
    : `${formatBytes(full)}, as a delta ${formatBytes(delta)}`;
}

function renderFile({ path, from, to }: ComponentDiff['files'][number], paint: Paint): string {
  const name = harmless(path);
  if (from === undefined) return `${paint.good(`+ ${name}`)}  ${formatBytes(to ?? 0)}`;
  if (to === undefined) return `${paint.bad(`- ${name}`)}  ${formatBytes(from)}`;
  const sizes = from === to ? formatBytes(to) : `${formatBytes(from)} -> ${formatBytes(to)}`;
  return `${paint.busy(`~ ${name}`)}  ${sizes}`;
}
