/**
 * The file of `--config`: the agent's options as an installed agent has them, `NAME=VALUE` a line, `#` before a remark. Names
 * are those of the command line without the dashes; what may be given again is a line each time; a switch is `yes` or `no`.
 */
import { readFile } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';
import { AGENT_OPTION_LIST, isSwitch, nameOf, type OptionKey } from './options.ts';

/** Words as they were given: of an option that may be given again a list, of a switch a boolean. */
export type Given = Readonly<Partial<Record<OptionKey, string | boolean | readonly string[]>>>;

/** @throws LeonoreError `config.invalid`, naming file and line. */
export async function readConfigFile(file: string): Promise<Given> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new LeonoreError('config.invalid', `${file} cannot be read; give another with --config`, { cause: error });
  });
  return parseConfig(text, file);
}

/** @throws LeonoreError `config.invalid`, naming file and line. */
export function parseConfig(text: string, file: string): Given {
  const given: Partial<Record<OptionKey, string | boolean | readonly string[]>> = {};
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim();
    if (words === '' || words.startsWith('#')) continue;
    const fault = (what: string): LeonoreError =>
      new LeonoreError('config.invalid', `${file} line ${index + 1}: ${what}`);
    const at = words.indexOf('=');
    if (at <= 0) throw fault(`"${words}" is no setting; it reads like id=gw-7`);
    const name = words.slice(0, at).trim();
    const value = words.slice(at + 1).trim();
    const [key, option] = AGENT_OPTION_LIST.find(([, one]) => nameOf(one) === name) ?? [];
    if (!key || !option || key === 'config') {
      const names = AGENT_OPTION_LIST.map(([, one]) => nameOf(one)).filter((one) => one !== 'config');
      throw fault(`there is no option "${name}"; there are ${names.join(', ')}`);
    }
    if (value === '') continue;
    if (option.repeatable) given[key] = [...((given[key] as readonly string[] | undefined) ?? []), value];
    else if (given[key] !== undefined) throw fault(`"${name}" is given a second time; it has one value`);
    else if (!isSwitch(option)) given[key] = value;
    else if (value === 'yes' || value === 'no') given[key] = value === 'yes';
    else throw fault(`"${name}" is yes or no, not "${value}"`);
  }
  return given;
}
