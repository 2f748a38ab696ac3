/** `leonore gateway`: the fleet as it is, labels, enrolment tokens, what happened on a gateway. */
import { collect } from '@leonore/client';
import { type Gateway, parseSelector } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { confirm } from '../ask.ts';
import { addOutputOption, emitList, emitOne, type OutputFormat } from '../output/emit.ts';
import { harmless, type Paint, paintState } from '../output/paint.ts';
import { formatAge, formatBytes, formatTime } from '../output/quantities.ts';
import { renderFacts, renderTable } from '../output/table.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { gatewayLogs } from './gateway-logs.ts';
import { registerGatewayToken } from './gateway-token.ts';
import { collectValues, formatLabels, parseCount, parseLabelChanges, parseLabels, selectorOfRunning } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerGateway(parent: Command, app: App): void {
  const gateway = parent
    .command('gateway')
    .alias('gw')
    .description('The gateways of the fleet: show, label, enrol, remove.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore gateway list --select 'site=vienna,arch in (arm64,armv7)'
  $ leonore gateway list --runs svm@1.2.27
  $ leonore gateway label gw-7 floor=2 old-label-
  $ leonore gateway token create --uses 50 --label site=vienna
  $ leonore gateway logs gw-7`,
    );

  addConnectionOptions(addOutputOption(gateway.command('list').alias('ls').description('list gateways')))
    .argument('[selector]', 'only those that it matches; the same as --select')
    .option('--select <expr>', 'only those that it matches, such as site=vienna,!retired')
    .option('--runs <artifact>', 'only those that have it installed: svm or svm@1.2.28')
    .option('--limit <n>', 'at most so many', parseCount)
    .action(async (selector: string | undefined, flags: Flags & { select?: string; runs?: string; limit?: number }) => {
      const selected = flags.select ?? selector;
      const text = flags.runs === undefined ? selected : selectorOfRunning(flags.runs, selected);
      if (text !== undefined) parseSelector(text);
      const client = await app.connect(flags);
      const query = { selector: text, signal: app.terminal.signal };
      const items: Gateway[] = await collect(client.gateways.all(query), flags.limit);
      const whenEmpty =
        text === undefined || text === '*'
          ? 'no gateways yet; make a token for one with: leonore gateway token create   then run: leonore agent --server URL --token T --id ID --root DIR'
          : `no gateway matches ${text}; leonore gateway list shows all of them`;
      await emitList(app.terminal, flags.output, items, {
        columns: columns(Date.now()),
        name: ({ id }) => id,
        whenEmpty,
      });
    });

  addConnectionOptions(addOutputOption(gateway.command('show').description('show all that is known of a gateway')))
    .argument('<id>')
    .action(async (id: string, flags: Flags) => {
      const client = await app.connect(flags);
      const found = await client.gateways.get(id, { signal: app.terminal.signal });
      await emitOne(app.terminal, flags.output, found, { name: (one) => one.id, render: describe });
    });

  addConnectionOptions(
    addOutputOption(gateway.command('label').description('set labels with KEY=VALUE, take away with KEY-')),
  )
    .argument('<id>')
    .argument('<labels...>', 'site=vienna sets, site- takes away')
    .action(async (id: string, labels: string[], flags: Flags) => {
      const changes = parseLabelChanges(labels);
      const client = await app.connect(flags);
      const changed = await client.gateways.label(id, changes, { signal: app.terminal.signal });
      await emitOne(app.terminal, flags.output, changed, {
        name: (one) => one.id,
        render: (one) => [`${one.id}  ${formatLabels(one.labels) || 'no labels'}`],
      });
    });

  addConnectionOptions(
    addOutputOption(
      gateway
        .command('create')
        .description('make a gateway known before it comes, for devices with a DDI client of their own'),
    ),
  )
    .argument('<id>')
    .addOption(new Option('--target-token <token>', 'the token that the gateway will use (default: made by the node)'))
    .option('--label <key=value>', 'label it; may be given again', collectValues, [])
    .action(async (id: string, flags: Flags & { targetToken?: string; label: string[] }) => {
      const client = await app.connect(flags);
      const created = await client.gateways.create(
        { id, labels: parseLabels(flags.label), ...(flags.targetToken ? { token: flags.targetToken } : {}) },
        { signal: app.terminal.signal },
      );
      await emitOne(app.terminal, flags.output, created, {
        name: ({ gateway: made }) => made.id,
        render: ({ gateway: made, token }, paint) =>
          renderFacts(
            [
              ['gateway', made.id],
              ['token', token],
              ['labels', formatLabels(made.labels)],
            ],
            paint,
          ),
      });
      if (flags.output === 'table') app.terminal.err('the token is shown this once; give it to the gateway');
    });

  addConnectionOptions(
    gateway.command('remove').alias('rm').description('forget gateways, their credentials and history'),
  )
    .argument('<ids...>')
    .option('-y, --yes', 'do not ask')
    .action(async (ids: string[], flags: ConnectionFlags & { yes?: boolean }) => {
      const what = ids.length === 1 ? `gateway ${ids[0]}` : `${ids.length} gateways`;
      await confirm(app.terminal, `This removes ${what} and what is known of it.`, flags.yes);
      const client = await app.connect(flags);
      for (const id of ids) {
        await client.gateways.remove(id, { signal: app.terminal.signal });
        app.terminal.err(`removed ${harmless(id)}`);
      }
    });

  addConnectionOptions(
    addOutputOption(
      gateway.command('logs').description('what happened on a gateway: its tasks and every step of them'),
    ),
  )
    .argument('<id>')
    .option('--limit <n>', 'the newest so many tasks', parseCount, 10)
    .option('-f, --follow', 'go on with what happens from now on, until Ctrl-C')
    .action((id: string, flags: Flags & { limit: number; follow?: boolean }) => gatewayLogs(id, flags, app));

  registerGatewayToken(gateway, app);
}

function columns(now: number) {
  return (paint: Paint) => [
    { title: 'id', value: ({ id }: Gateway) => harmless(id) },
    {
      title: 'state',
      value: ({ connected, lastSeenAt }: Gateway) =>
        connected ? paintState(paint, 'connected') : lastSeenAt === undefined ? 'never seen' : 'polling',
    },
    { title: 'platform', value: ({ profile }: Gateway) => platformOf(profile) },
    { title: 'strategies', value: ({ profile }: Gateway) => profile.strategies.join(',') },
    {
      title: 'installed',
      value: ({ profile }: Gateway) => (profile.installed === undefined ? '?' : String(profile.installed.length)),
      align: 'right' as const,
    },
    { title: 'task', value: ({ task }: Gateway) => (task ? `${task.id} ${paintState(paint, task.state)}` : '-') },
    { title: 'last seen', value: ({ lastSeenAt }: Gateway) => formatAge(lastSeenAt, now) },
    { title: 'labels', value: (one: Gateway) => formatLabels({ ...one.profile.labels, ...one.labels }) },
  ];
}

function platformOf({ os, arch, libc }: Gateway['profile']): string {
  return harmless([os, arch, libc].filter(Boolean).join('/')) || '?';
}

function describe(gateway: Gateway, paint: Paint): string[] {
  const { profile } = gateway;
  const now = Date.now();
  const lines = renderFacts(
    [
      ['id', paint.strong(harmless(gateway.id))],
      ['state', gateway.connected ? paintState(paint, 'connected') : `last seen ${formatAge(gateway.lastSeenAt, now)}`],
      ['enrolled', formatTime(gateway.enrolledAt)],
      ['labels', formatLabels({ ...profile.labels, ...gateway.labels })],
      ['agent', profile.agent && harmless(`${profile.agent.name} ${profile.agent.version}`)],
      ['host', profile.hostname && harmless(profile.hostname)],
      ['platform', platformOf(profile)],
      ['kernel', profile.kernel && harmless(profile.kernel)],
      ['cpu', profile.cpu && `${profile.cpu.cores} × ${harmless(profile.cpu.model ?? 'unknown')}`],
      ['memory', profile.memory && formatBytes(profile.memory.total)],
      ['disk', profile.disk && `${formatBytes(profile.disk.free)} free of ${formatBytes(profile.disk.total)}`],
      ['strategies', profile.strategies.join(', ')],
      ['encodings', profile.encodings.join(', ')],
      [
        'capabilities',
        harmless(
          Object.entries(profile.capabilities)
            .map(([name, version]) => `${name} ${version}`)
            .join(', '),
        ),
      ],
      [
        'attributes',
        harmless(
          Object.entries(profile.attributes)
            .map(([key, value]) => `${key}=${value}`)
            .join(', '),
        ),
      ],
      ['desired', gateway.desired.map(({ name, range }) => `${name}@${range}`).join(', ')],
      [
        'task',
        gateway.task &&
          `${gateway.task.id} of rollout ${gateway.task.rollout}: ${paintState(paint, gateway.task.state)}`,
      ],
    ],
    paint,
  );
  if (profile.installed === undefined || profile.installed.length === 0) return lines;
  const installed = renderTable(
    profile.installed,
    [
      { title: 'installed', value: (one) => one.name },
      { title: 'version', value: (one) => one.version },
      { title: 'state', value: (one) => paintState(paint, one.state) },
      { title: 'why', value: (one) => (one.requested ? 'asked for' : 'needed by another') },
    ],
    { paint },
  );
  return [...lines, '', ...installed];
}
