/** `leonore artifact`: from a folder to the repository, and what is there. */
import { collect } from '@leonore/client';
import { type Artifact, LeonoreError, platformKey } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { confirm } from '../ask.ts';
import { addOutputOption, emitList, type ListView, type OutputFormat } from '../output/emit.ts';
import { createPaint, harmless, type Paint } from '../output/paint.ts';
import { formatAge, formatBytes, formatTime } from '../output/quantities.ts';
import { renderFacts } from '../output/table.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { usageSentence } from './artifact-usage.ts';
import { parseCount, parseNameAndVersion } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerArtifact(parent: Command, app: App): void {
  const artifact = parent
    .command('artifact')
    .description('Artifacts: applications and what they need, as publishers put them into the repository.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore artifact init my-app && leonore artifact publish my-app
  $ leonore artifact init gateway-os --image build/gateway-2.1.swu
  $ leonore artifact publish examples/hello-sensor examples/building-monitor
  $ leonore artifact show svm@1.2.28
  $ leonore artifact usage svm@'<1.2.28'
  $ leonore artifact tree building-monitor
  $ leonore artifact withdraw svm@1.2.27 --reason "crashes on ARMv6"`,
    );

  artifact
    .command('init')
    .description('begin a new artifact: a manifest and control scripts to fill in')
    .argument('[dir]', 'the folder', '.')
    .option('--name <name>', "its name (default: the folder's)")
    .option('--image <file>', 'an image (.swu, RAUC bundle, firmware) that gateways install as it is; it is copied')
    .action((dir: string, flags: { name?: string; image?: string }) =>
      import('./artifact-init.ts').then(({ initArtifact }) => initArtifact(dir, flags, app)),
    );

  addOutputOption(artifact.command('pack').description('pack a folder into its segments without publishing them'))
    .argument('<dir>')
    .option('--out <dir>', 'where to put the segments', '.')
    .action((dir: string, flags: { out: string; output: OutputFormat }) =>
      import('./artifact-publish.ts').then(({ packCommand }) => packCommand(dir, flags, app)),
    );

  addConnectionOptions(
    addOutputOption(artifact.command('publish').description('pack folders, upload them, publish them')),
  )
    .argument('<dirs...>', 'each with a leonore.yaml, and binary/ and control/ or image/')
    .action((dirs: string[], flags: Flags) =>
      import('./artifact-publish.ts').then(({ publishCommand }) => publishCommand(dirs, flags, app)),
    );

  addConnectionOptions(addOutputOption(artifact.command('list').alias('ls').description('list every published build')))
    .argument('[name]', 'only of this name')
    .option('--limit <n>', 'at most so many', parseCount)
    .action(async (name: string | undefined, flags: Flags & { limit?: number }) => {
      const client = await app.connect(flags);
      const all = client.artifacts.all({ name, signal: app.terminal.signal });
      await emitList(app.terminal, flags.output, await collect<Artifact>(all, flags.limit), listView(Date.now(), name));
    });

  addConnectionOptions(
    addOutputOption(artifact.command('show').description('show every build of a name or of one version')),
  )
    .argument('<artifact>', 'NAME or NAME@VERSION')
    .action(async (text: string, flags: Flags) => {
      const { name, version } = parseNameAndVersion(text);
      const client = await app.connect(flags);
      const builds: Artifact[] = await client.artifacts.builds(name, version, { signal: app.terminal.signal });
      if (flags.output !== 'table') {
        await emitList(app.terminal, flags.output, builds, listView(Date.now(), name));
        return;
      }
      const paint = createPaint(app.terminal.outColour);
      app.terminal.out(builds.map((build) => describe(build, paint).join('\n')).join('\n\n'));
    });

  addConnectionOptions(
    addOutputOption(artifact.command('usage').description('show which gateways run it and which artifacts need it')),
  )
    .argument('<artifact>', 'NAME or NAME@RANGE, such as svm@1.2.28 or svm@<1.3')
    .option('--transitive', 'also who needs those who need it, and so on')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore artifact usage svm                             every version that runs somewhere
  $ leonore artifact usage svm@1.2.27 --transitive         all that a bad version can touch
  $ leonore gateway list --runs svm@1.2.27 -o name         the gateways, every one`,
    )
    .action((text: string, flags: Flags & { transitive?: boolean }) =>
      import('./artifact-usage.ts').then(({ usageCommand }) => usageCommand(text, flags, app)),
    );

  addConnectionOptions(
    addOutputOption(artifact.command('tree').description('show what a version needs, all the way down')),
  )
    .argument('<artifact>', 'NAME (its newest version) or NAME@VERSION')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore artifact tree building-monitor
  $ leonore artifact tree building-monitor@1.4.2 -o json

It tells what is declared; what one gateway would get says: leonore explain building-monitor --gateway gw-7`,
    )
    .action((text: string, flags: Flags) =>
      import('./artifact-tree.ts').then(({ treeCommand }) => treeCommand(text, flags, app)),
    );

  addConnectionOptions(
    artifact
      .command('withdraw')
      .description('take a version out of what can be provisioned; where it is installed it stays'),
  )
    .argument('<artifact>', 'NAME@VERSION')
    .option('--reason <text>', 'why, for those who ask later', 'withdrawn by its publisher')
    .option('-y, --yes', 'do not ask')
    .action(async (text: string, flags: ConnectionFlags & { reason: string; yes?: boolean }) => {
      const { name, version } = parseNameAndVersion(text);
      if (version === undefined) {
        throw new LeonoreError(
          'cli.usage',
          `say which version to withdraw, such as ${name}@1.2.28; leonore artifact list ${name} shows them`,
        );
      }
      const client = await app.connect(flags);
      const usage = await client.artifacts.usage(name, { range: version }, { signal: app.terminal.signal });
      app.terminal.err(`${name} ${version}: ${usageSentence(usage)}`);
      await confirm(app.terminal, `This withdraws every build of ${name} ${version}.`, flags.yes);
      const count = await client.artifacts.withdraw(name, version, flags.reason, { signal: app.terminal.signal });
      app.terminal.err(`withdrew ${name} ${version} (${count === 1 ? '1 build' : `${count} builds`})`);
    });
}

function listView(now: number, name: string | undefined): ListView<Artifact> {
  return {
    columns: (paint) => [
      { title: 'name', value: ({ manifest }) => manifest.name },
      { title: 'version', value: ({ manifest }) => manifest.version },
      { title: 'platform', value: ({ manifest }) => platformKey(manifest.platform) },
      { title: 'packed', value: smallestSize, align: 'right' },
      { title: 'unpacked', value: (one) => formatBytes(one.unpackedSize), align: 'right' },
      { title: 'published', value: (one) => formatAge(one.publishedAt, now) },
      {
        title: 'about',
        value: (one) =>
          one.withdrawnAt === undefined
            ? harmless(one.manifest.description)
            : paint.bad(`withdrawn: ${harmless(one.withdrawnReason ?? '')}`),
      },
    ],
    name: ({ manifest }) => `${manifest.name}@${manifest.version}`,
    whenEmpty:
      name === undefined
        ? 'no artifacts yet; begin one with: leonore artifact init DIR   and publish it with: leonore artifact publish DIR'
        : `nothing is published as ${harmless(name)}; leonore artifact list shows what is`,
  };
}

const smallestSize = ({ segments }: Artifact) => formatBytes(Math.min(...segments.map(({ size }) => size)));

const pairs = (record: Readonly<Record<string, string>>) =>
  harmless(
    Object.entries(record)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
  );

function runsText({ kind, run }: Artifact['manifest']): string | undefined {
  if (kind === 'image') return undefined;
  return run ? `restart ${run.restart}` : 'nothing by itself';
}

function describe(artifact: Artifact, paint: Paint): string[] {
  const { manifest } = artifact;
  const { memory, disk } = manifest.requires.resources;
  return renderFacts(
    [
      ['artifact', paint.strong(`${manifest.name} ${manifest.version}`)],
      ['about', harmless(manifest.description)],
      ['platform', platformKey(manifest.platform)],
      ['needs', pairs(manifest.requires.artifacts)],
      ['capabilities', pairs(manifest.requires.capabilities)],
      ['memory', memory === undefined ? undefined : formatBytes(memory)],
      ['disk', disk === undefined ? undefined : formatBytes(disk)],
      ['provides', pairs(manifest.provides)],
      ['conflicts', pairs(manifest.conflicts)],
      ['install path', manifest.installPath],
      [
        'image',
        manifest.kind === 'image'
          ? `${harmless(manifest.image?.file ?? '')}, installed by the gateway itself (part ${manifest.image?.part ?? 'os'})`
          : undefined,
      ],
      ['runs', runsText(manifest)],
      [
        'content',
        `${formatBytes(artifact.unpackedSize)} in ${artifact.fileCount} files, sha256 ${artifact.contentSha256}`,
      ],
      ...artifact.segments.map(
        ({ encoding, size, sha256 }) => [encoding, `${formatBytes(size)}, sha256 ${sha256}`] as const,
      ),
      ['published', formatTime(artifact.publishedAt)],
      [
        'withdrawn',
        artifact.withdrawnAt === undefined
          ? undefined
          : paint.bad(`${formatTime(artifact.withdrawnAt)}: ${harmless(artifact.withdrawnReason ?? '')}`),
      ],
    ],
    paint,
  );
}
