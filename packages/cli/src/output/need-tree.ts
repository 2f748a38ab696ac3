/** What a version brings in, as a tree: its needs, below each what would meet it. Pure. */
import type { ArtifactNeeds, Need, NeededVersion } from '@leonore/protocol';
import { harmless, type Paint } from './paint.ts';
import { renderTree, type TreeNode } from './tree.ts';

const SHOWN_VERSIONS = 5;

export function renderNeeds(answer: ArtifactNeeds, paint: Paint): string[] {
  const title = paint.strong(`${answer.name} ${answer.version}`);
  const withdrawn = answer.withdrawn ? paint.bad(' (withdrawn)') : '';
  if (answer.needs.length === 0) return [`${title}${withdrawn} needs nothing`];
  return [`${title}${withdrawn}`, ...renderTree(answer.needs.map((need) => needNode(need, paint)))];
}

function needNode(need: Need, paint: Paint): TreeNode {
  const only = need.platforms ? paint.faint(` (only ${need.platforms.join(', ')})`) : '';
  const text = `${harmless(need.text)}${only}`;
  const children = need.candidates.map((candidate) => ({
    text: candidateText(candidate, paint),
    children: candidate.needs.map((one) => needNode(one, paint)),
  }));
  const [first] = children;
  if (need.alternatives.some(({ kind }) => kind === 'capability')) {
    return {
      text: `${text}: ${first ? 'the gateway itself, or' : 'the gateway itself; no artifact provides it'}`,
      children,
    };
  }
  if (!first)
    return { text: `${text}: ${(need.optional ? paint.faint : paint.bad)('no version that would do is offered')}` };
  if (children.length > 1) return { text: `${text}: one of`, children };
  return { text: `${text}: ${first.text}`, children: first.children };
}

function candidateText({ name, versions, mark }: NeededVersion, paint: Paint): string {
  const [newest = '', ...older] = versions;
  const listed = older.slice(0, SHOWN_VERSIONS).join(', ');
  const more = older.length > SHOWN_VERSIONS ? ` and ${older.length - SHOWN_VERSIONS} more` : '';
  const rest = older.length === 0 ? '' : paint.faint(`, or ${listed}${more}`);
  return `${paint.strong(`${name} ${newest}`)}${rest}${markText(mark, paint)}`;
}

function markText(mark: NeededVersion['mark'], paint: Paint): string {
  switch (mark) {
    case 'cycle':
      return paint.busy(' (a cycle: it stands above)');
    case 'again':
      return paint.faint(' (see above)');
    case undefined:
      return '';
    default:
      return mark satisfies never;
  }
}

/** Every artifact version in the tree that would be taken first, each once. */
export function neededNames(needs: readonly Need[]): readonly string[] {
  const names = needs.flatMap(({ candidates }) =>
    candidates.flatMap(({ name, versions, needs: below }) => [`${name}@${versions[0]}`, ...neededNames(below)]),
  );
  return [...new Set(names)];
}
