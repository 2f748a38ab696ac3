/** `leonore agent`: the agent of one gateway in this process, until it is told to stop. */
import { AGENT_OPTION_LIST, agentExamples, describeOption, type Given, runFromFlags } from '@leonore/agent';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { collectValues } from './words.ts';

export function registerAgent(parent: Command, app: App): void {
  const { terminal } = app;
  const command = parent
    .command('agent')
    .description(
      'Run the agent of a gateway: it enrols once, tells what the machine is, and takes what is provisioned to it.',
    )
    .addHelpText('after', `\n${agentExamples('leonore agent')}`)
    .action(async (given: Given) => {
      app.exitCode = await runFromFlags(given, terminal, (line) => terminal.err(line), terminal.signal);
    });
  for (const [, entry] of AGENT_OPTION_LIST) {
    const option = new Option(entry.flags, describeOption(entry));
    command.addOption(entry.repeatable ? option.argParser(collectValues).default([], 'none') : option);
  }
}
