/** `leonore login URL`: tries address and token, then keeps them as a context. */

import { createClient } from '@leonore/client';
import { LeonoreError } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { askHidden, readAllInput } from '../ask.ts';
import { configPath, readConfig, writeConfig } from '../settings/config-file.ts';
import { isLocal } from '../settings/connection.ts';

interface Flags {
  readonly token?: string;
  readonly name?: string;
}

export function registerLogin(parent: Command, app: App): void {
  parent
    .command('login')
    .description(
      'Keep the address and token of a node for later calls. The token is asked for, or read from standard input.\n' +
        'It is kept in $XDG_CONFIG_HOME/leonore/config.json, which only you can read.',
    )
    .argument('<url>', 'address of the node, such as http://127.0.0.1:8080')
    .option('--token <token>', 'the token; others on this machine may see it in the list of processes')
    .option('--name <name>', 'what to call this context (default: host and port)')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore login http://127.0.0.1:8080
  $ leonore login http://127.0.0.1:8080 < leonore-data/admin-token
  $ leonore login https://leonore.example.org --name production`,
    )
    .action(async (url: string, flags: Flags) => login(url, flags, app));
}

async function login(url: string, flags: Flags, { terminal }: App): Promise<void> {
  // Wrong addresses are found before a token is asked for.
  const { baseUrl } = createClient({ baseUrl: url });
  if (baseUrl.startsWith('http:') && !isLocal(baseUrl)) {
    terminal.err('warning: over http the token travels unencrypted; use https outside of your own network');
  }
  const token = (flags.token ?? (await askForToken(baseUrl, terminal))).trim();
  if (token === '') {
    throw new LeonoreError(
      'cli.usage',
      'no token given: type it, pass --token, or pipe it in: leonore login URL < FILE',
    );
  }
  const info = await createClient({ baseUrl, token }).info({ signal: terminal.signal });
  const path = configPath(terminal.env);
  const config = await readConfig(path);
  const name = flags.name ?? new URL(baseUrl).host;
  const contexts = { ...config.contexts, [name]: { server: baseUrl, token } };
  await writeConfig(path, { ...config, current: name, contexts });
  terminal.err(`logged in to ${baseUrl} (LEONORE ${info.version}, tenant ${info.tenant}) as context "${name}"`);
}

function askForToken(baseUrl: string, terminal: App['terminal']): Promise<string> {
  if (terminal.interactive) return askHidden(terminal, `token for ${baseUrl}: `);
  if (terminal.stdin.isTTY) return Promise.resolve('');
  return readAllInput(terminal);
}
