/**
 * The user's file of named contexts: where a node is and with which token. Holds secrets, so only its owner may read it.
 *
 *     { "current": "lab", "contexts": { "lab": { "server": "http://10.0.0.5:8080", "token": "..." } } }
 */
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';

export interface Context {
  readonly server: string;
  readonly token?: string | undefined;
}

export interface Config {
  readonly current?: string | undefined;
  readonly contexts: Readonly<Record<string, Context>>;
}

export const EMPTY_CONFIG: Config = { contexts: {} };

/** `$XDG_CONFIG_HOME/leonore/config.json`, by default below `~/.config`. */
export function configPath(env: Readonly<Record<string, string | undefined>>): string {
  return join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'leonore', 'config.json');
}

/** @throws LeonoreError `config.invalid`, naming the file. */
export async function readConfig(path: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY_CONFIG;
    throw new LeonoreError('config.invalid', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new LeonoreError('config.invalid', `${path} is not valid JSON; mend it, or remove it and log in again`, {
      cause: error,
    });
  }
  if (!isConfig(value)) {
    throw new LeonoreError('config.invalid', `${path} is not what leonore login writes; remove it and log in again`);
  }
  return value;
}

/** Whole or not at all, and never readable by others, not even for a moment. */
export async function writeConfig(path: string, config: Config): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.new`;
  try {
    await writeFile(draft, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600, flag: 'w' });
    await chmod(draft, 0o600);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw new LeonoreError('config.invalid', `cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

function isConfig(value: unknown): value is Config {
  if (!isRecord(value) || !isRecord(value['contexts'])) return false;
  if (value['current'] !== undefined && typeof value['current'] !== 'string') return false;
  return Object.values(value['contexts']).every(
    (context) =>
      isRecord(context) &&
      typeof context['server'] === 'string' &&
      (context['token'] === undefined || typeof context['token'] === 'string'),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
