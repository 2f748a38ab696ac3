/** `leonore package diff`: what changes from one package to another, and the bytes that go over the air for it. */
import type { ComponentDiff, PackageDiff } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { renderPackageDiff } from '../output/package-diff.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat; readonly allFiles?: boolean };
/** Of one component; a release may touch thousands. */
const SHOWN_FILES = 20;

export function registerPackageDiff(parent: Command, app: App): void {
  addConnectionOptions(
    addOutputOption(
      parent
        .command('diff')
        .description(
          'what changes on a gateway that has the first package and gets the second, and the bytes it costs',
        ),
    ),
  )
    .argument('<from>', 'id of a package')
    .argument('<to>', 'id of another')
    .option('--all-files', `all files that changed, where there are more than ${SHOWN_FILES} in a component`)
    .action(async (from: string, to: string, flags: Flags) => {
      const client = await app.connect(flags);
      const diff = await client.packages.diff(from, to, { signal: app.terminal.signal });
      const shownFiles = flags.allFiles ? Number.POSITIVE_INFINITY : SHOWN_FILES;
      await emitOne(app.terminal, flags.output, diff, {
        name: changedNames,
        render: (one, paint) => renderPackageDiff(one, { paint, shownFiles }),
      });
    });
}

function changedNames({ components }: PackageDiff): string {
  return components
    .filter(({ change }: ComponentDiff) => change !== 'same')
    .map(({ name }) => name)
    .join('\n');
}
