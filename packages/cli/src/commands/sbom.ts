/** `leonore package sbom` and `leonore gateway sbom`: bills of materials in CycloneDX, for tools that read them. */
import { writeFile } from 'node:fs/promises';
import type { Client } from '@leonore/client';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';

type Flags = ConnectionFlags & { readonly files?: boolean; readonly file?: string };
type Read = Client['packages']['sbom'];

export function registerPackageSbom(parent: Command, app: App): void {
  register(parent, app, 'what a package is made of, as CycloneDX 1.6', (client) => client.packages.sbom);
}

export function registerGatewaySbom(parent: Command, app: App): void {
  register(parent, app, 'what a gateway says is installed, as CycloneDX 1.6', (client) => client.gateways.sbom);
}

function register(parent: Command, app: App, description: string, call: (client: Client) => Read): void {
  addConnectionOptions(parent.command('sbom').description(description))
    .argument('<id>')
    .option('--files', 'also every file of every component')
    .option('-f, --file <file>', 'where to put it (default: standard output)')
    .action(async (id: string, flags: Flags) => {
      const { terminal } = app;
      const read = call(await app.connect(flags));
      const sbom = await read(id, { files: flags.files === true }, { signal: terminal.signal });
      const text = JSON.stringify(sbom, undefined, 2);
      if (flags.file === undefined) return terminal.out(text);
      await writeFile(flags.file, `${text}\n`);
    });
}
