/**
 * Which node a command talks to and with which token: flags, then LEONORE_URL and LEONORE_TOKEN, then the context of
 * `leonore login`, then a node on this machine. A context's token goes to its own server only, whatever else is set.
 */
import { LeonoreError } from '@leonore/protocol';
import type { Command } from 'commander';
import type { Config } from './config-file.ts';

export const DEFAULT_SERVER = 'http://127.0.0.1:8080';

export interface ConnectionFlags {
  readonly server?: string | undefined;
  readonly token?: string | undefined;
  readonly context?: string | undefined;
}

export interface Connection {
  readonly server: string;
  readonly token: string | undefined;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--server <url>', `address of the node (LEONORE_URL; else the context; else ${DEFAULT_SERVER})`)
    .option('--token <token>', 'token of the user-facing API (LEONORE_TOKEN; else the context)')
    .option('--context <name>', 'context of leonore login to use (LEONORE_CONTEXT; else the current one)');
}

/** @throws LeonoreError `cli.usage` for a context that does not exist. */
export function resolveConnection(
  flags: ConnectionFlags,
  env: Readonly<Record<string, string | undefined>>,
  config: Config,
): Connection {
  const named = flags.context ?? (env['LEONORE_CONTEXT'] || undefined);
  if (named !== undefined && !Object.hasOwn(config.contexts, named)) {
    const known = Object.keys(config.contexts);
    throw new LeonoreError(
      'cli.usage',
      `there is no context "${named}"; ${known.length > 0 ? `known: ${known.join(', ')}` : 'make one with: leonore login URL'}`,
    );
  }
  const context = config.contexts[named ?? config.current ?? ''];
  // A context that was named wins over the environment, which is set for all calls.
  const server =
    flags.server ?? (named !== undefined ? context?.server : env['LEONORE_URL'] || context?.server) ?? DEFAULT_SERVER;
  const ofContext = [context, ...Object.values(config.contexts)].find(
    (one) => one?.token !== undefined && sameServer(one.server, server),
  )?.token;
  const token = flags.token ?? (named !== undefined ? ofContext : env['LEONORE_TOKEN'] || ofContext);
  return { server, token };
}

function sameServer(a: string, b: string): boolean {
  return normal(a) === normal(b);
}

function normal(server: string): string {
  return (URL.parse(server)?.href ?? server).replace(/\/+$/, '');
}

export function isLocal(server: string): boolean {
  const host = URL.parse(server)?.hostname ?? '';
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
