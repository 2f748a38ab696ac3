/** `leonore explain`: what would be installed on a gateway and why, or why it cannot be. Changes nothing. */
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { EXIT } from '../exit-codes.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { renderResolution } from '../output/plan-tree.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { parseApplication } from './provision.ts';

interface Flags extends ConnectionFlags {
  readonly gateway: string;
  readonly upgrade?: boolean;
  readonly output: OutputFormat;
}

export function registerExplain(parent: Command, app: App): void {
  const command = parent
    .command('explain')
    .description(
      'Show the install plan of applications for a gateway, or why there is none (exit code 1). Changes nothing.',
    )
    .argument('<applications...>', 'NAME or NAME@RANGE')
    .requiredOption('-g, --gateway <id>', 'for which gateway')
    .option('--upgrade', 'take the newest versions even where what is installed still fits')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore explain building-monitor --gateway gw-7
  $ leonore explain svm@^1.2 java-meter --gateway gw-7 -o json`,
    );
  addConnectionOptions(addOutputOption(command)).action(async (words: string[], flags: Flags) => {
    const applications = words.map(parseApplication);
    const client = await app.connect(flags);
    const answer = await client.explain(
      { applications, gateway: flags.gateway, upgrade: flags.upgrade ?? false },
      { signal: app.terminal.signal },
    );
    await emitOne(app.terminal, flags.output, answer, {
      name: ({ resolution }) =>
        resolution.outcome === 'plan'
          ? resolution.plan.steps.map(({ name, version }) => `${name}@${version}`).join('\n')
          : resolution.outcome,
      render: ({ gateway, resolution }, paint) => renderResolution(gateway, resolution, paint),
    });
    if (answer.resolution.outcome === 'unsatisfiable') app.exitCode = EXIT.failed;
  });
}
