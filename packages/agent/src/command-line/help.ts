/** What the agent's own program says of itself. */
import { AGENT_OPTION_LIST, agentExamples, describeOption } from './options.ts';

const PROGRAM = 'leonore-agent';
const COLUMNS = 100;
const INDENT = 2;

export function agentHelp(): string {
  const options = AGENT_OPTION_LIST.map(([, option]) => [option.flags, describeOption(option)] as const);
  const own = [
    ['-V, --version', 'print the version'],
    ['-h, --help', 'say how to call it'],
  ] as const;
  const width = Math.max(...options.map(([flags]) => flags.length)) + 2;
  return `Usage: ${PROGRAM} --server <url> --root <dir> [options]

The agent of a gateway: it enrols once, tells what the machine is, and takes what is provisioned to it.

Options:
${[...options, ...own].map(([flags, text]) => `  ${flags.padEnd(width)}${wrap(text, width + INDENT)}`).join('\n')}

${agentExamples(PROGRAM)}

Exit codes: 0 told to stop, 1 it failed, 2 the call was wrong, 4 not allowed, 5 no server reached.`;
}

function wrap(text: string, indent: number): string {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && indent + line.length + word.length > COLUMNS) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}
