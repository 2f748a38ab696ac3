/** From what was given to what holds: the command line wins over the environment, which wins over the file, which wins over defaults. */
import { parseArgs } from 'node:util';
import { resolve } from 'node:path';
import { LeonoreError } from '@leonore/protocol';
import { type Given, readConfigFile } from './config-file.ts';
import { AGENT_OPTION_LIST, AGENT_OPTIONS, type AgentFlags, isSwitch, nameOf } from './options.ts';

/** Where the agent is started. */
export interface Place {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The words of the agent's own program. @throws LeonoreError `cli.usage` */
export function parseWords(args: readonly string[]): Given & { readonly help?: boolean; readonly version?: boolean } {
  const options = Object.fromEntries(
    AGENT_OPTION_LIST.map(([, option]) => [
      nameOf(option),
      { type: isSwitch(option) ? ('boolean' as const) : ('string' as const), multiple: option.repeatable === true },
    ]),
  );
  const own = {
    help: { type: 'boolean' as const, short: 'h' },
    version: { type: 'boolean' as const, short: 'V' },
  };
  try {
    const parsed = parseArgs({ args: [...args], options: { ...options, ...own }, strict: true });
    const values: Readonly<Record<string, unknown>> = parsed.values;
    const given = AGENT_OPTION_LIST.map(([key, option]) => [key, values[nameOf(option)]]);
    return { ...Object.fromEntries(given), help: values['help'], version: values['version'] } as Given;
  } catch (error) {
    throw new LeonoreError('cli.usage', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** @throws LeonoreError `cli.usage` or `config.invalid` */
export async function readFlags(given: Given, { cwd, env }: Place): Promise<AgentFlags> {
  const config: Given = typeof given.config === 'string' ? await readConfigFile(resolve(cwd, given.config)) : {};
  const flags: Record<string, unknown> = {};
  for (const [key, option] of AGENT_OPTION_LIST) {
    const fromCall = Array.isArray(given[key]) && given[key].length === 0 ? undefined : given[key];
    const fromEnv = option.env === undefined ? undefined : env[option.env] || undefined;
    const value = fromCall ?? fromEnv ?? config[key] ?? option.default;
    if (option.choices && !option.choices.includes(String(value))) {
      throw new LeonoreError('cli.usage', `--${nameOf(option)} "${String(value)}": it is ${oneOf(option.choices)}`);
    }
    if (value !== undefined || option.repeatable) flags[key] = value ?? [];
  }
  for (const key of ['server', 'root'] as const) {
    if (flags[key] !== undefined) continue;
    const { flags: name, description } = AGENT_OPTIONS[key];
    throw new LeonoreError('cli.usage', `${name} is missing: ${description}; --help shows all options`);
  }
  return flags as unknown as AgentFlags;
}

function oneOf(choices: readonly string[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}
