/** What the words of the command line mean to the agent. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { type GatewayProfile, LeonoreError, ownGatewayIdSchema, parseDuration, parseLabels } from '@leonore/protocol';
import { type AgentOptions, launcherFrom } from '../agent/mod.ts';
import { type Logger, protocolsNamed } from '../connectivity/mod.ts';
import { limitOptions } from './limits.ts';
import { networkOptions } from './network.ts';
import type { AgentFlags } from './options.ts';
import type { Place } from './read-flags.ts';

/** @throws LeonoreError `cli.usage` or `config.invalid` for what cannot be read. */
export function agentOptions(flags: AgentFlags, place: Place, logger: Logger): AgentOptions {
  const pollIntervalMs = flags.poll === undefined ? undefined : parseDuration(flags.poll);
  const root = resolve(place.cwd, flags.root);
  return {
    server: checkServer(flags.server),
    id: checkId(flags.id ?? nameOfMachine()),
    root,
    launcher: launcherFrom(place.env, root),
    strategy: flags.strategy,
    protocols: protocolNames(flags),
    applicationUsers: flags.applicationUsers,
    labels: parseLabels(flags.label),
    logger,
    ...networkOptions(flags, place),
    ...limitOptions(flags),
    ...(flags.token ? { token: flags.token.trim() } : {}),
    ...(flags.installRoot ? { installRoot: resolve(place.cwd, flags.installRoot) } : {}),
    ...(flags.factsDir ? { factsDir: resolve(place.cwd, flags.factsDir) } : {}),
    ...(flags.hardwareIds ? { hardwareIds: true } : {}),
    ...(flags.override ? { profileOverrides: parseOverride(flags.override) } : {}),
    ...(pollIntervalMs === undefined ? {} : { pollIntervalMs }),
    tuning: {
      // Who says how often to ask means it, also while push works.
      ...(pollIntervalMs === undefined ? {} : { repairPollMs: pollIntervalMs }),
      ...(flags.longPoll ? { longPollSeconds: Math.round(parseDuration(flags.longPoll) / 1000) } : {}),
    },
  };
}

function protocolNames({ protocols, strategy }: AgentFlags): string[] {
  const names = protocols.split(',').map((name) => name.trim());
  if (protocolsNamed(names).some((protocol) => strategy === 'push' || protocol.strategy === 'pull')) return names;
  throw new LeonoreError('cli.usage', `--strategy pull: of --protocols ${protocols} none can ask; add http`);
}

function checkServer(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (protocol === 'http:' || protocol === 'https:') return text.replace(/\/+$/, '');
  throw new LeonoreError('cli.usage', `--server "${text}" is no address of a node; it reads like http://10.0.0.5:8080`);
}

function checkId(id: string): string {
  const parsed = ownGatewayIdSchema.safeParse(id);
  if (parsed.success) return id;
  throw new LeonoreError('cli.usage', `--id "${id}": ${parsed.error.issues[0]?.message}`);
}

function nameOfMachine(): string {
  return hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 63);
}

/** A patch and not a profile: null takes away what was found. What comes out is checked as a profile by the agent. */
function parseOverride(text: string): Partial<GatewayProfile> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new LeonoreError(
      'cli.usage',
      `--override is a JSON object such as {"capabilities":{"java":null}}, not ${text}`,
    );
  }
  return value;
}
