/** `leonore agent`: the agent of one gateway in this process, until it is told to stop. */
import { resolve } from 'node:path';
import type { AgentOptions, ApplicationUsers } from '@leonore/agent';
import { type GatewayProfile, LeonoreError, ownGatewayIdSchema, type Strategy } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { endApplications } from '../demo/applications.ts';
import { createLineLogger, LOG_LEVELS, type LogLevel } from '../output/line-logger.ts';
import { parseDuration } from '../output/quantities.ts';
import { addLimitOptions, type LimitFlags, limitOptions } from './agent-limits.ts';
import { addNetworkOptions, type NetworkFlags, networkOptions } from './agent-network.ts';
import { collectValues, parseLabels } from './words.ts';

interface Flags extends NetworkFlags, LimitFlags {
  readonly server: string;
  readonly id: string;
  readonly root: string;
  readonly token?: string;
  readonly strategy: Strategy;
  readonly poll?: string;
  readonly label: string[];
  readonly installRoot?: string;
  readonly override?: string;
  readonly applicationUsers: ApplicationUsers;
  readonly factsDir?: string;
  readonly hardwareIds?: boolean;
  readonly longPoll?: string;
  readonly stopApplications?: boolean;
  readonly logLevel: LogLevel;
}

export function registerAgent(parent: Command, app: App): void {
  const command = parent
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
    .option('--facts-dir <dir>', 'programs and files that say own facts of this gateway (default: ROOT/facts.d)')
    .option('--hardware-ids', 'tell the serial number and MAC addresses too')
    .option('--override <json>', 'merge patch over the profile that is found, to play another machine')
    .addOption(
      new Option('--application-users <who>', 'who applications run as where the agent is root, see docs/container.md')
        .choices(['own', 'strict', 'agent'] satisfies ApplicationUsers[])
        .default('own'),
    )
    .option('--stop-applications', 'end the applications too when it stops; without it they run on')
    .addOption(
      new Option('--log-level <level>', 'what to log').choices(LOG_LEVELS).env('LEONORE_LOG_LEVEL').default('info'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ leonore agent --server http://10.0.0.5:8080 --token T --id gw-7 --root /var/lib/leonore --label site=vienna
  $ leonore agent --server http://10.0.0.5:8080 --id gw-7 --root /var/lib/leonore --strategy pull --poll 30s
  $ leonore agent --server https://node.example --ca site-ca.pem --proxy http://proxy:3128 \\
      --max-download-rate 50kB/s --download-window 22:00-05:00 --id gw-7 --root /var/lib/leonore`,
    )
    .action((flags: Flags) => runAgentProcess(flags, app));
  addLimitOptions(addNetworkOptions(command));
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
    applicationUsers: flags.applicationUsers,
    labels: parseLabels(flags.label),
    logger: createLineLogger(
      (line) => terminal.err(line),
      flags.logLevel,
      () => new Date(),
    ),
    ...(await networkOptions(flags, terminal)),
    ...limitOptions(flags),
    ...(flags.token ? { token: flags.token.trim() } : {}),
    ...(flags.installRoot ? { installRoot: resolve(terminal.cwd, flags.installRoot) } : {}),
    ...(flags.factsDir ? { factsDir: resolve(terminal.cwd, flags.factsDir) } : {}),
    ...(flags.hardwareIds ? { hardwareIds: true } : {}),
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
