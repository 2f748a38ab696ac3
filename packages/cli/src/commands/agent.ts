/** `leonore agent`: the agent of one gateway in this process, until it is told to stop. */
import { resolve } from 'node:path';
import type { AgentOptions } from '@leonore/agent';
import { type GatewayProfile, LeonoreError, ownGatewayIdSchema, type Strategy } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { endApplications } from '../demo/applications.ts';
import { createLineLogger, LOG_LEVELS, type LogLevel } from '../output/line-logger.ts';
import { parseDuration } from '../output/quantities.ts';
import { collectValues, parseLabels } from './words.ts';

interface Flags {
  readonly server: string;
  readonly id: string;
  readonly root: string;
  readonly token?: string;
  readonly strategy: Strategy;
  readonly poll?: string;
  readonly label: string[];
  readonly installRoot?: string;
  readonly override?: string;
  readonly longPoll?: string;
  readonly stopApplications?: boolean;
  readonly logLevel: LogLevel;
}

export function registerAgent(parent: Command, app: App): void {
  parent
    .command('agent')
    .description(
      'Run the agent of a gateway: it enrols once, tells what the machine is, and takes what is provisioned to it.',
    )
    .addOption(new Option('--server <url>', 'address of the node').env('LEONORE_URL').makeOptionMandatory())
    .requiredOption('--id <id>', 'id of this gateway: a-z, 0-9, ".", "_", "-"')
    .requiredOption('--root <dir>', 'the folder for everything it keeps')
    .addOption(
      new Option('--token <token>', 'enrolment token; needed at the first start only').env('LEONORE_ENROLMENT_TOKEN'),
    )
    .addOption(
      new Option(
        '--strategy <strategy>',
        'pull: ask at an interval; push: be told at once, and ask now and then beside it',
      )
        .choices(['push', 'pull'])
        .default('push'),
    )
    .option('--poll <duration>', 'how often to ask, such as 30s (default: what the server says)')
    .option('--long-poll <duration>', 'let the server hold a question that long until there is work')
    .option('--label <key=value>', 'label this gateway; may be given again', collectValues, [])
    .option('--install-root <dir>', 'what stands for / in install paths (default: ROOT/rootfs)')
    .option('--override <json>', 'merge patch over the profile that is found, to play another machine')
    .option('--stop-applications', 'end the applications too when it stops; without it they run on')
    .addOption(
      new Option('--log-level <level>', 'what to log').choices(LOG_LEVELS).env('LEONORE_LOG_LEVEL').default('info'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ leonore agent --server http://10.0.0.5:8080 --token T --id gw-7 --root /var/lib/leonore --label site=vienna
  $ leonore agent --server http://10.0.0.5:8080 --id gw-7 --root /var/lib/leonore --strategy pull --poll 30s`,
    )
    .action((flags: Flags) => runAgentProcess(flags, app));
}

async function runAgentProcess(flags: Flags, { terminal }: App): Promise<void> {
  const id = ownGatewayIdSchema.safeParse(flags.id);
  if (!id.success) throw new LeonoreError('cli.usage', `--id "${flags.id}": ${id.error.issues[0]?.message}`);
  const root = resolve(terminal.cwd, flags.root);
  const pollIntervalMs = flags.poll === undefined ? undefined : parseDuration(flags.poll);
  const options: AgentOptions = {
    server: flags.server.replace(/\/+$/, ''),
    id: flags.id,
    root,
    strategy: flags.strategy,
    labels: parseLabels(flags.label),
    logger: createLineLogger(
      (line) => terminal.err(line),
      flags.logLevel,
      () => new Date(),
    ),
    ...(flags.token ? { token: flags.token.trim() } : {}),
    ...(flags.installRoot ? { installRoot: resolve(terminal.cwd, flags.installRoot) } : {}),
    ...(flags.override ? { profileOverrides: parseOverride(flags.override) } : {}),
    ...(pollIntervalMs === undefined ? {} : { pollIntervalMs }),
    tuning: {
      // Who says how often to ask means it, also while push works.
      ...(pollIntervalMs === undefined ? {} : { repairPollMs: pollIntervalMs }),
      ...(flags.longPoll ? { longPollSeconds: Math.round(parseDuration(flags.longPoll) / 1000) } : {}),
    },
  };
  const { runAgent } = await import('@leonore/agent');
  try {
    await runAgent(options, terminal.signal);
  } finally {
    if (flags.stopApplications) await endApplications(root);
  }
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
