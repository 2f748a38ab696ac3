/** `leonore gateway`: the fleet as it is, labels, enrolment tokens, what happened on a gateway. */
import { collect } from '@leonore/client';
import {
  bytesSchema,
  EMPTY_PROFILE,
  type Gateway,
  type GatewayProfile,
  LeonoreError,
  type PackageFormat,
  packageFormatSchema,
  parseSelector,
  platformSchema,
  type Task,
} from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { confirm } from '../ask.ts';
import { addOutputOption, emitList, emitOne, type OutputFormat } from '../output/emit.ts';
import { installedText, platformOf, renderGateway } from '../output/gateway-view.ts';
import { harmless, type Paint, paintState } from '../output/paint.ts';
import { formatAge } from '../output/quantities.ts';
import { renderFacts } from '../output/table.ts';
import { summariseTask } from '../output/task-view.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { gatewayLogs, type LogFlags } from './gateway-logs.ts';
import { registerGatewayToken } from './gateway-token.ts';
import { registerGatewaySbom } from './sbom.ts';
import { collectValues, formatLabels, parseCount, parseLabelChanges, parseLabels, selectorOfRunning } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

interface CreateFlags {
  readonly targetToken?: string;
  readonly label: string[];
  readonly format?: PackageFormat[];
  readonly os?: string;
  readonly arch?: string;
  readonly libc?: string;
  readonly diskFree?: string;
}

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
  $ leonore gateway list --select 'distribution=debian,fact/line=7'
  $ leonore gateway show gw-7
  $ leonore gateway label gw-7 floor=2 old-label-
  $ leonore gateway token create --uses 50 --label site=vienna
  $ leonore gateway logs gw-7
  $ leonore gateway logs gw-7 --task 42 --follow`,
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
      const { signal } = app.terminal;
      const found = await client.gateways.get(id, { signal });
      const [lastTask]: Task[] = (await client.gateways.tasks(id).list({ limit: 1, signal })).items;
      const now = Date.now();
      await emitOne(app.terminal, flags.output, lastTask ? { ...found, lastTask } : found, {
        name: (one) => one.id,
        render: (one, paint) => [
          ...renderGateway(one, paint, now),
          ...(lastTask
            ? ['', paint.strong('LAST TASK'), ...summariseTask(lastTask, paint, now).map((line) => `  ${line}`)]
            : []),
        ],
      });
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
    .addOption(
      new Option('--format <format>', 'a package format it installs, the best first; may be given again')
        .choices(packageFormatSchema.options)
        .argParser(collectFormats),
    )
    .option('--os <word>', 'its operating system, such as linux')
    .option('--arch <word>', 'its architecture, such as arm64 or x64')
    .option('--libc <word>', 'its C library: glibc or musl')
    .option('--disk-free <bytes>', 'how large an image it can hold, such as 512MiB')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore gateway create pump-7 --label site=vienna
  $ leonore gateway create pump-7 --format swu --format image --os linux --arch arm64 --libc glibc
  $ leonore gateway create press-1 --format image --disk-free 512MiB

Without --format it is offered LEONORE's own archives, and images. What it says of itself over DDI (os, arch, libc, formats)
counts where nothing was said here.`,
    )
    .action(async (id: string, flags: Flags & CreateFlags) => {
      const client = await app.connect(flags);
      const created = await client.gateways.create(
        {
          id,
          labels: parseLabels(flags.label),
          profile: profileOf(flags),
          ...(flags.targetToken ? { token: flags.targetToken } : {}),
        },
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
    addOutputOption(
      gateway
        .command('refresh')
        .description('have a gateway asked, with its next poll, what it says of itself: profile or attributes'),
    ),
  )
    .argument('<id>')
    .action(async (id: string, flags: Flags) => {
      const client = await app.connect(flags);
      const asked = await client.gateways.refresh(id, { signal: app.terminal.signal });
      await emitOne(app.terminal, flags.output, asked, {
        name: (one) => one.id,
        render: (one) => [`${harmless(one.id)}  is asked with its next poll`],
      });
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
    .option('--task <n>', 'only this one', parseCount)
    .option('-f, --follow', 'go on with what happens from now on, until Ctrl-C or the end of --task')
    .action((id: string, flags: LogFlags) => gatewayLogs(id, flags, app));

  registerGatewaySbom(gateway, app);
  registerGatewayToken(gateway, app);
}

function collectFormats(text: string, all: readonly PackageFormat[] = []): PackageFormat[] {
  const format = packageFormatSchema.safeParse(text);
  if (format.success) return [...new Set([...all, format.data])];
  throw new LeonoreError(
    'cli.usage',
    `--format: "${text}" is no package format; they are ${packageFormatSchema.options.join(', ')}`,
  );
}

/** What the operator knows of it; undefined where nothing was said. */
function profileOf({ format, os, arch, libc, diskFree }: CreateFlags): GatewayProfile | undefined {
  const platform = platformSchema.safeParse({ os, arch, libc });
  if (!platform.success) {
    const [issue] = platform.error.issues;
    throw new LeonoreError('cli.usage', `--${issue?.path.join('.')}: ${issue?.message}`);
  }
  const disk = bytesSchema.optional().safeParse(diskFree);
  if (!disk.success) throw new LeonoreError('cli.usage', `--disk-free: ${disk.error.issues[0]?.message}`);
  const said = {
    ...platform.data,
    ...(format === undefined ? {} : { formats: format }),
    ...(disk.data === undefined ? {} : { disk: { total: disk.data, free: disk.data } }),
  };
  return Object.values(said).every((value) => value === undefined) ? undefined : { ...EMPTY_PROFILE, ...said };
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
      value: ({ profile }: Gateway) => installedText(profile, paint),
      align: 'right' as const,
    },
    { title: 'task', value: ({ task }: Gateway) => (task ? `${task.id} ${paintState(paint, task.state)}` : '-') },
    { title: 'last seen', value: ({ lastSeenAt }: Gateway) => formatAge(lastSeenAt, now) },
    { title: 'labels', value: (one: Gateway) => formatLabels({ ...one.profile.labels, ...one.labels }) },
  ];
}
