/** `leonore explain`: what would be installed and why, or why it cannot be: for one gateway or each class. Changes nothing. */
import {
  type ApplicationRequest,
  type ExplainClassesAnswer,
  type ExplainedClass,
  LeonoreError,
  parseSelector,
  platformKey,
  type Resolution,
} from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { EXIT } from '../exit-codes.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { harmless, type Paint } from '../output/paint.ts';
import { renderResolution } from '../output/plan-tree.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { parseApplication } from './provision.ts';
import { counted } from './words.ts';

interface Flags extends ConnectionFlags {
  readonly gateway?: string;
  readonly select?: string;
  readonly upgrade?: boolean;
  readonly output: OutputFormat;
}

export function registerExplain(parent: Command, app: App): void {
  const command = parent
    .command('explain')
    .description(
      'Show the install plan of applications for a gateway, or for each class of the gateways that a selector names, or why there is none (exit code 1). Changes nothing.',
    )
    .argument('<applications...>', 'NAME or NAME@RANGE')
    .option('-g, --gateway <id>', 'for which gateway')
    .option('-s, --select <expr>', 'for which gateways, one answer for each class of them; * is all')
    .option('--upgrade', 'take the newest versions even where what is installed still fits')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore explain building-monitor --gateway gw-7
  $ leonore explain svm@^1.2 java-meter --gateway gw-7 -o json
  $ leonore explain building-monitor --select site=vienna
  $ leonore explain svm --select app/svm=1.2.27 --upgrade`,
    );
  addConnectionOptions(addOutputOption(command)).action(async (words: string[], flags: Flags) => {
    const applications = words.map(parseApplication);
    const { gateway, select } = flags;
    if (gateway !== undefined && select === undefined) return explainGateway(applications, gateway, flags, app);
    if (select !== undefined && gateway === undefined) return explainClasses(applications, select, flags, app);
    throw new LeonoreError(
      'cli.usage',
      'say for whom: either --gateway ID or --select EXPR, such as --select site=vienna',
    );
  });
}

async function explainGateway(
  applications: readonly ApplicationRequest[],
  id: string,
  flags: Flags,
  app: App,
): Promise<void> {
  const client = await app.connect(flags);
  const answer = await client.explain(
    { applications, gateway: id, upgrade: flags.upgrade ?? false },
    { signal: app.terminal.signal },
  );
  await emitOne(app.terminal, flags.output, answer, {
    name: ({ resolution }) => namesOf(resolution).join('\n'),
    render: ({ gateway, resolution }, paint) => renderResolution(gateway, resolution, paint),
  });
  if (answer.resolution.outcome === 'unsatisfiable') app.exitCode = EXIT.failed;
}

async function explainClasses(
  applications: readonly ApplicationRequest[],
  selector: string,
  flags: Flags,
  app: App,
): Promise<void> {
  parseSelector(selector);
  const client = await app.connect(flags);
  const answer = await client.explainClasses(
    { applications, selector, upgrade: flags.upgrade ?? false },
    { signal: app.terminal.signal },
  );
  await emitOne(app.terminal, flags.output, answer, {
    name: ({ classes }) => [...new Set(classes.flatMap(({ resolution }) => namesOf(resolution)))].join('\n'),
    render: renderClasses,
  });
  if (answer.classes.some(({ resolution }) => resolution.outcome === 'unsatisfiable')) app.exitCode = EXIT.failed;
}

function namesOf(resolution: Resolution): readonly string[] {
  return resolution.outcome === 'plan'
    ? resolution.plan.steps.map(({ name, version }) => `${name}@${version}`)
    : [resolution.outcome];
}

function renderClasses({ selector, gateways, classes, cutOff }: ExplainClassesAnswer, paint: Paint): string[] {
  const kinds = classes.length === 1 ? '1 class' : `${classes.length} classes`;
  const trees = classes.flatMap((one) => ['', ...renderClass(one, paint)]);
  return [
    `${counted(gateways, 'gateway')} of ${kinds} for ${harmless(selector)}`,
    ...trees,
    ...(cutOff === undefined ? [] : ['', paint.busy(harmless(cutOff))]),
  ];
}

function renderClass({ gateways, example, platform, resolution }: ExplainedClass, paint: Paint): string[] {
  const title = `${counted(gateways, 'gateway')} like ${harmless(example)} (${platformKey(platform)})`;
  const lines = renderResolution(title, resolution, paint);
  return resolution.outcome === 'plan' ? lines : [`${paint.strong(title)}: no plan`, ...lines];
}
