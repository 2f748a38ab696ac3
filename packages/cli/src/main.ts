/**
 * The way in of the command line: reads the words, loads the one command that they name, runs it, and translates what
 * went wrong. Leaves to others: what a command does (commands/), what an error means (failure.ts).
 */
import { Command, CommanderError } from 'commander';
import type { App } from './app.ts';
import { COMMANDS, commandNames } from './command-table.ts';
import { EXIT } from './exit-codes.ts';
import { createPaint, harmless } from './output/paint.ts';
import type { Terminal } from './terminal.ts';
import { VERSION } from './version.ts';

const EXAMPLES = `
Examples:
  $ leonore demo                                        see it all at work on this machine
  $ leonore node                                        run a node
  $ leonore login http://gateway-server:8080            keep address and token for later calls
  $ leonore artifact publish ./my-app                   put an application into the repository
  $ leonore provision my-app@^1.2 --select site=vienna --wait

Exit codes: 0 done, 1 it failed, 2 the call was wrong, 3 not found, 4 not allowed, 5 no server reached.`;

/** Runs one call. Gives its exit code; throws nothing. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const app: App = { terminal, exitCode: EXIT.done, connect: (flags) => connect(flags, terminal) };
  try {
    const program = await buildProgram(args, app);
    if (args.length === 0) {
      program.outputHelp();
      return EXIT.done;
    }
    await program.parseAsync(args, { from: 'user' });
    return app.exitCode;
  } catch (error) {
    return await report(error, terminal);
  }
}

async function buildProgram(args: readonly string[], app: App): Promise<Command> {
  const { terminal } = app;
  const paint = createPaint(terminal.errColour);
  const program = new Command('leonore')
    .description('Provisions application packages onto fleets of IoT gateways, by pull and by push.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'say how to call it')
    .helpCommand('help [command]', 'say how to call a command')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.errWrite(text),
      getOutHelpWidth: () => Math.min(120, terminal.outIsTerminal ? terminal.columns() : 100),
      getErrHelpWidth: () => Math.min(120, terminal.columns()),
      getOutHasColors: () => terminal.outColour,
      getErrHasColors: () => terminal.errColour,
      outputError: (text, write) => write(text.replace(/^error:/, paint.bad('error:'))),
    });
  const words = args.filter((word) => !word.startsWith('-'));
  const wanted = words[0] === 'help' ? words[1] : words[0];
  for (const name of commandNames) {
    const entry = COMMANDS[name];
    // Only the command that is called is loaded; of the others the name and the sentence are enough.
    if (name === wanted) (await entry.load())(program, app);
    else program.command(name).description(entry.summary).helpOption(false);
  }
  return program;
}

async function connect(flags: Parameters<App['connect']>[0], terminal: Terminal) {
  const [{ createClient }, { configPath, readConfig }, { resolveConnection }] = await Promise.all([
    import('@leonore/client'),
    import('./settings/config-file.ts'),
    import('./settings/connection.ts'),
  ]);
  const connection = resolveConnection(flags, terminal.env, await readConfig(configPath(terminal.env)));
  return createClient({ baseUrl: connection.server, token: connection.token });
}

async function report(error: unknown, terminal: Terminal): Promise<number> {
  // Commander has written its own line, or the help that was asked for.
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.done;
    if (error.code !== 'commander.help') terminal.err('hint: add --help to see how it is called');
    return EXIT.usage;
  }
  const { describeFailure } = await import('./failure.ts');
  const failure = describeFailure(error);
  const paint = createPaint(terminal.errColour);
  if (failure.message !== undefined) terminal.err(`${paint.bad('error:')} ${harmless(failure.message)}`);
  if (failure.explanation) {
    const { renderExplanation } = await import('./output/plan-tree.ts');
    for (const line of renderExplanation(failure.explanation, paint).slice(1)) terminal.err(line);
  }
  if (failure.hint !== undefined) terminal.err(`${paint.busy('hint:')} ${failure.hint}`);
  if (terminal.env['LEONORE_DEBUG'] && error instanceof Error) terminal.err(error.stack ?? '');
  return failure.exitCode;
}
