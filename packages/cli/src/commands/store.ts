/** `leonore store`: how full a node's store is, whether its bytes are still right, what can go. */
import type { Collection } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { formatBytes } from '../output/quantities.ts';
import { renderStore } from '../output/store-view.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { emitVerification, verifyStore } from './package-verify.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerStore(parent: Command, app: App): void {
  const command = parent
    .command('store')
    .description('The store of a node: the segments of published builds and the deltas between them.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore store show
  $ leonore store verify || mail -s 'store damaged' operator@example.org < /dev/null
  $ leonore store collect

Limits are the node's options: leonore node --store-quota 50GiB --keep-free 500MiB --max-artifact-size 1GiB.`,
    );
  const { terminal } = app;

  addConnectionOptions(addOutputOption(command.command('show').description('how full it is, and what is damaged')))
    .addHelpText('after', '\nWith -o name: ok, low or full, the state of the disk.')
    .action(async (flags: Flags) => {
      const client = await app.connect(flags);
      const status = await client.store.status({ signal: terminal.signal });
      await emitOne(terminal, flags.output, status, { name: ({ disk }) => disk.state, render: renderStore });
    });

  addConnectionOptions(
    addOutputOption(command.command('verify').description('read all of it from the disk and compare the digests')),
  )
    .addHelpText('after', '\nEnds with 1 when something is damaged or missing, and names what needs it.')
    .action(async (flags: Flags) => {
      const client = await app.connect(flags);
      await emitVerification(await verifyStore(client, terminal), flags.output, app);
    });

  addConnectionOptions(
    addOutputOption(command.command('collect').description('take away now what nothing has needed for a day')),
  )
    .addHelpText('after', '\nA node does so by itself once an hour.')
    .action(async (flags: Flags) => {
      const client = await app.connect(flags);
      const freed = await client.store.collect({ signal: terminal.signal });
      await emitOne(terminal, flags.output, freed, {
        name: ({ bytes }) => String(bytes),
        render: (one) => [describeCollection(one)],
      });
    });
}

function describeCollection({ packages, deltas, segments, bytes }: Collection): string {
  const gone = [
    [packages, 'package'],
    [deltas, 'delta'],
    [segments, 'segment'],
  ] as const;
  const words = gone.filter(([count]) => count > 0).map(([count, noun]) => `${count} ${noun}${count === 1 ? '' : 's'}`);
  if (words.length === 0) return 'nothing to take away: everything is needed, or younger than a day';
  return `took away ${words.join(', ')}: ${formatBytes(bytes)} freed`;
}
