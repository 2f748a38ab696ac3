/** `leonore package`: the packages that were composed, and their bytes. */
import { collect } from '@leonore/client';
import type { PackageDetails, PackageSummary } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitList, emitOne, type OutputFormat } from '../output/emit.ts';
import { harmless, type Paint } from '../output/paint.ts';
import { formatAge, formatBytes, formatTime } from '../output/quantities.ts';
import { renderFacts, renderTable } from '../output/table.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { registerPackageDiff } from './package-diff.ts';
import { fetchPackage } from './package-fetch.ts';
import { registerPackageVerify } from './package-verify.ts';
import { registerPackageSbom } from './sbom.ts';
import { parseCount } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerPackage(parent: Command, app: App): void {
  const command = parent
    .command('package')
    .description('Packages: what was composed of artifacts, once for each kind of gateway.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore package list
  $ leonore package diff p-0123456789abcdef0123456789abcdef p-fedcba9876543210fedcba9876543210
  $ leonore package sbom p-0123456789abcdef0123456789abcdef --files -f package.cdx.json
  $ leonore package verify
  $ leonore package fetch p-0123456789abcdef0123456789abcdef -f package.tar.gz && tar -tzf package.tar.gz`,
    );

  addConnectionOptions(addOutputOption(command.command('list').alias('ls').description('list packages')))
    .option('--limit <n>', 'at most so many', parseCount)
    .action(async (flags: Flags & { limit?: number }) => {
      const client = await app.connect(flags);
      const all = client.packages.all({ signal: app.terminal.signal });
      const items: PackageSummary[] = await collect(all, flags.limit);
      const now = Date.now();
      await emitList(app.terminal, flags.output, items, {
        columns: () => [
          { title: 'id', value: (one) => one.id },
          { title: 'size', value: (one) => formatBytes(one.size), align: 'right' },
          { title: 'format', value: (one) => one.format },
          { title: 'class', value: (one) => harmless(one.gatewayClass) },
          { title: 'made', value: (one) => formatAge(one.createdAt, now) },
          { title: 'components', value: componentsOf },
        ],
        name: (one) => one.id,
        whenEmpty: "no packages yet; the first rollout composes one: leonore provision APP --select '*'",
      });
    });

  addConnectionOptions(addOutputOption(command.command('show').description('show a package and what is in it')))
    .argument('<id>')
    .action(async (id: string, flags: Flags) => {
      const client = await app.connect(flags);
      const found = await client.packages.get(id, { signal: app.terminal.signal });
      await emitOne(app.terminal, flags.output, found, { name: (one) => one.id, render: describe });
    });

  addConnectionOptions(
    command.command('fetch').description('download a package and check every digest; goes on where it stopped'),
  )
    .argument('<id>')
    .requiredOption('-f, --file <file>', 'where to put it')
    .action((id: string, flags: ConnectionFlags & { file: string }) => fetchPackage(id, flags, app));

  registerPackageDiff(command, app);
  registerPackageSbom(command, app);
  registerPackageVerify(command, app);
}

const componentsOf = ({ components }: PackageSummary) =>
  components.map(({ name, version }) => `${name} ${version}`).join(', ');

function describe(details: PackageDetails, paint: Paint): string[] {
  const { manifest } = details;
  const facts = renderFacts(
    [
      ['package', paint.strong(details.id)],
      ['size', `${formatBytes(details.size)} (header ${formatBytes(details.headerSize)})`],
      ['format', details.format],
      ['sha256', `${details.sha256} (of the header, which names every other byte)`],
      ['class', harmless(details.gatewayClass)],
      ['made', formatTime(details.createdAt)],
      ['keeps', manifest.keep.map(({ name, version }) => `${name} ${version}`).join(', ')],
      ['removes', manifest.remove.map(({ name, version }) => `${name} ${version}`).join(', ')],
    ],
    paint,
  );
  if (manifest.components.length === 0) return facts;
  const table = renderTable(
    manifest.components,
    [
      { title: 'component', value: (one) => one.name },
      { title: 'version', value: (one) => one.version },
      { title: 'action', value: (one) => one.action },
      { title: 'packed', value: (one) => formatBytes(one.segment.length), align: 'right' },
      { title: 'unpacked', value: (one) => formatBytes(one.unpackedSize), align: 'right' },
      { title: 'files', value: (one) => String(one.files.length), align: 'right' },
      { title: 'after', value: (one) => one.after.join(', ') },
    ],
    { paint },
  );
  return [...facts, '', ...table];
}
