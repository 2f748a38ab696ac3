/**
 * The options of the agent's command line, as data: `leonore agent` and the agent's own program read and explain the same
 * table. Each may also stand in the file of `--config`. Leaves to others: what a value means (agent-options.ts).
 */
import type { ApplicationUsers } from '../container/mod.ts';
import { LOG_LEVELS } from './line-logger.ts';

export interface AgentOption {
  /** `--name <value>`, or `--name` for a switch. */
  readonly flags: string;
  readonly description: string;
  /** A variable of the environment that says it too. */
  readonly env?: string;
  readonly choices?: readonly string[];
  readonly default?: string;
  /** May be given again; each adds to the others. */
  readonly repeatable?: true;
}

/** What was given, with defaults: words still, as people wrote them. */
export interface AgentFlags {
  readonly config?: string;
  readonly server: string;
  readonly id?: string;
  readonly root: string;
  readonly token?: string;
  readonly strategy: 'push' | 'pull';
  readonly protocols: string;
  readonly poll?: string;
  readonly longPoll?: string;
  readonly label: readonly string[];
  readonly installRoot?: string;
  readonly factsDir?: string;
  readonly hardwareIds?: boolean;
  readonly override?: string;
  readonly applicationUsers: ApplicationUsers;
  readonly stopApplications?: boolean;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly maxDownloadRate?: string;
  readonly downloadWindow: readonly string[];
  readonly proxy?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly allowHost: readonly string[];
  readonly allowInstallPath: readonly string[];
}

export const AGENT_OPTIONS = {
  server: { flags: '--server <url>', description: 'address of the node', env: 'LEONORE_URL' },
  id: { flags: '--id <id>', description: `id of this gateway: a-z, 0-9, ".", "_", "-" (default: the machine's name)` },
  root: { flags: '--root <dir>', description: 'the folder for everything it keeps' },
  token: {
    flags: '--token <token>',
    description: 'enrolment token; needed at the first start only',
    env: 'LEONORE_ENROLMENT_TOKEN',
  },
  config: {
    flags: '--config <file>',
    description: 'a file of options, NAME=VALUE a line: the names are those here, without the dashes',
  },
  strategy: {
    flags: '--strategy <strategy>',
    description: 'pull: ask at an interval; push: be told at once, and ask now and then beside it',
    choices: ['push', 'pull'],
    default: 'push',
  },
  protocols: {
    flags: '--protocols <names>',
    description: 'what to speak with the node, best first, of http, mqtt and coap; enrolment is by http',
    default: 'mqtt,http',
  },
  poll: {
    flags: '--poll <duration>',
    description: 'how often to ask, such as 30s (default: what the server says)',
  },
  longPoll: {
    flags: '--long-poll <duration>',
    description: 'let the server hold a question that long until there is work',
  },
  label: { flags: '--label <key=value>', description: 'label this gateway; may be given again', repeatable: true },
  installRoot: {
    flags: '--install-root <dir>',
    description: 'what stands for / in install paths (default: ROOT/rootfs)',
  },
  factsDir: {
    flags: '--facts-dir <dir>',
    description: 'programs and files that say own facts of this gateway (default: ROOT/facts.d)',
  },
  hardwareIds: { flags: '--hardware-ids', description: 'tell the serial number and MAC addresses too' },
  override: {
    flags: '--override <json>',
    description: 'merge patch over the profile that is found, to play another machine',
  },
  applicationUsers: {
    flags: '--application-users <who>',
    description: 'who applications run as where the agent is root, see docs/container.md',
    choices: ['own', 'strict', 'agent'] satisfies ApplicationUsers[],
    default: 'own',
  },
  stopApplications: {
    flags: '--stop-applications',
    description: 'end the applications too when it stops; without it they run on',
  },
  logLevel: {
    flags: '--log-level <level>',
    description: 'what to log',
    choices: LOG_LEVELS,
    env: 'LEONORE_LOG_LEVEL',
    default: 'info',
  },
  maxDownloadRate: {
    flags: '--max-download-rate <bytes/s>',
    description: 'bring packages no faster than this, such as 50kB/s',
  },
  downloadWindow: {
    flags: '--download-window <from-to>',
    description: 'bring packages only at these local times, such as 22:00-05:00; may be given again',
    repeatable: true,
  },
  proxy: {
    flags: '--proxy <url>',
    description: 'reach the node through it; "off": straight (default: HTTP_PROXY, HTTPS_PROXY, NO_PROXY)',
    env: 'LEONORE_PROXY',
  },
  ca: { flags: '--ca <file>', description: 'trust the authorities in this PEM file too', env: 'LEONORE_CA' },
  cert: {
    flags: '--cert <file>',
    description: "the gateway's own TLS certificate as PEM, where the node's address asks for one",
  },
  key: { flags: '--key <file>', description: "that certificate's key as PEM" },
  allowHost: {
    flags: '--allow-host <host[:port]>',
    description: 'packages may come from there, too, without the token; may be given again (default: the server alone)',
    repeatable: true,
  },
  allowInstallPath: {
    flags: '--allow-install-path <dir>',
    description:
      'applications may be installed below it, too, beside /opt, /srv, /usr/local, /var/lib and /var/opt; may be given again',
    repeatable: true,
  },
} as const satisfies Record<keyof AgentFlags, AgentOption>;

export type OptionKey = keyof typeof AGENT_OPTIONS;

/** The table as a list, widened to what each entry may have. */
export const AGENT_OPTION_LIST: readonly (readonly [OptionKey, AgentOption])[] = Object.entries(
  AGENT_OPTIONS,
) as unknown as readonly (readonly [OptionKey, AgentOption])[];

/** `log-level` of `--log-level <level>`. */
export function nameOf(option: AgentOption): string {
  return option.flags.slice(2).split(' ')[0] ?? '';
}

export function isSwitch(option: AgentOption): boolean {
  return !option.flags.includes(' ');
}

/** Its description with what else is to be known: choices, default, variable. */
export function describeOption({ description, choices, default: value, env }: AgentOption): string {
  const facts = [
    ...(choices ? [`one of ${choices.join(', ')}`] : []),
    ...(value === undefined ? [] : [`default: ${value}`]),
    ...(env === undefined ? [] : [`env: ${env}`]),
  ];
  return facts.length === 0 ? description : `${description} (${facts.join('; ')})`;
}

/** Examples of a call; `program` is how it is called here. */
export function agentExamples(program: string): string {
  return `Examples:
  $ ${program} --server http://10.0.0.5:8080 --token T --id gw-7 --root /var/lib/leonore --label site=vienna
  $ ${program} --server http://10.0.0.5:8080 --id gw-7 --root /var/lib/leonore --strategy pull --poll 30s
  $ ${program} --server https://node.example --ca site-ca.pem --proxy http://proxy:3128 \\
      --max-download-rate 50kB/s --download-window 22:00-05:00 --id gw-7 --root /var/lib/leonore
  $ ${program} --config /etc/leonore/agent.conf`;
}
