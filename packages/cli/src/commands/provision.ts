/** `leonore provision`: one rollout, made and if wanted watched to its end. */
import {
  type ApplicationRequest,
  LeonoreError,
  parseApplicationRequest,
  parseSelector,
  type Rollout,
} from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { EXIT } from '../exit-codes.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { parseDuration } from '../output/quantities.ts';
import { reportRollout, watchRollout } from '../progress/watch-rollout.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { addHandlingOptions, handlingOf, type HandlingFlags } from './handling.ts';
import { describeRollout } from './rollout.ts';
import { collectValues } from './words.ts';

interface Flags extends ConnectionFlags, HandlingFlags {
  readonly select: string;
  readonly strategy: 'auto' | 'pull' | 'push';
  readonly remove: string[];
  readonly upgrade?: boolean;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly output: OutputFormat;
}

export function registerProvision(parent: Command, app: App): void {
  const command = parent
    .command('provision')
    .description('Bring applications, with all that they need, to the gateways that a selector names.')
    .argument('[applications...]', 'NAME or NAME@RANGE, such as svm or svm@^1.2')
    .requiredOption('-s, --select <expr>', 'the gateways: site=vienna,arch in (arm64,armv7),!retired; * is all of them')
    .addOption(
      new Option('--strategy <strategy>', 'how it goes out; auto pushes to who is connected')
        .choices(['auto', 'pull', 'push'])
        .default('auto'),
    )
    .option('--remove <name>', 'an application to have no longer; may be given again', collectValues, [])
    .option('--upgrade', 'take the newest versions even where what is installed still fits')
    .option('-w, --wait', 'watch it; ends with 0 only if every gateway has it')
    .option('--timeout <duration>', 'with --wait: how long to watch, such as 10m')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore provision building-monitor --select '*' --wait
  $ leonore provision svm@^1.2 hello-sensor --select 'site=vienna,!retired' --strategy pull
  $ leonore provision --remove hello-sensor --select id=gw-7
  $ leonore provision press-os --select line=press --window '0 2 * * 6' --window-duration 2h --timezone +01:00

See what would be done for a gateway first with: leonore explain building-monitor --gateway gw-7`,
    );
  addConnectionOptions(addOutputOption(addHandlingOptions(command))).action((words: string[], flags: Flags) =>
    provision(words, flags, app),
  );
}

async function provision(words: readonly string[], flags: Flags, app: App): Promise<void> {
  const { terminal } = app;
  if (words.length + flags.remove.length === 0) {
    throw new LeonoreError('cli.usage', 'name at least one application to bring, or one to --remove');
  }
  parseSelector(flags.select);
  const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout);
  const handling = handlingOf(flags);
  const request = {
    applications: words.map(parseApplication),
    remove: flags.remove,
    selector: flags.select,
    strategy: flags.strategy,
    upgrade: flags.upgrade ?? false,
    ...(handling ? { handling } : {}),
  };
  const client = await app.connect(flags);
  const created = await client.rollouts.create(request, { signal: terminal.signal });
  const view = { name: (one: Rollout) => String(one.id), render: describeRollout };
  if (!flags.wait) {
    await emitOne(terminal, flags.output, created, view);
    terminal.err(`watch it with: leonore rollout watch ${created.id}`);
    return;
  }
  terminal.err(`rollout ${created.id} began`);
  const ended = await watchRollout(client, created.id, terminal, { timeoutMs });
  if (!(await reportRollout(client, ended, terminal))) app.exitCode = EXIT.failed;
  await emitOne(terminal, flags.output, ended, view);
}

/** `NAME[@RANGE]`. @throws LeonoreError `cli.usage`. */
export function parseApplication(text: string): ApplicationRequest {
  try {
    return parseApplicationRequest(text);
  } catch (error) {
    const why = (error as { issues?: { message: string }[] }).issues?.[0]?.message;
    throw new LeonoreError(
      'cli.usage',
      `"${text}" is no application${why ? `: ${why}` : ''}; it reads like svm or svm@^1.2`,
      {
        cause: error,
      },
    );
  }
}
