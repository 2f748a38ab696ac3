/** `leonore context`: the nodes that `leonore login` has kept. */

import { LeonoreError } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitList, type OutputFormat } from '../output/emit.ts';
import { type Config, configPath, readConfig, writeConfig } from '../settings/config-file.ts';

export function registerContext(parent: Command, app: App): void {
  const context = parent
    .command('context')
    .description('The nodes that leonore login has kept, and which one is used.');
  addOutputOption(context.command('list').alias('ls').description('list them')).action(
    (flags: { output: OutputFormat }) => list(flags.output, app),
  );
  context
    .command('use')
    .description('use this one from now on')
    .argument('<name>')
    .action((name: string) => change(app, name, (config) => ({ ...config, current: name }), `using context "${name}"`));
  context
    .command('remove')
    .description('forget this one and its token')
    .argument('<name>')
    .action((name: string) => {
      const without = ({ current, contexts }: Config): Config => ({
        ...(current === name ? {} : { current }),
        contexts: Object.fromEntries(Object.entries(contexts).filter(([other]) => other !== name)),
      });
      return change(app, name, without, `context "${name}" is forgotten`);
    });
}

async function list(format: OutputFormat, { terminal }: App): Promise<void> {
  const config = await readConfig(configPath(terminal.env));
  // Tokens stay in the file.
  const items = Object.entries(config.contexts).map(([name, { server, token }]) => ({
    name,
    server,
    hasToken: token !== undefined,
    current: config.current === name,
  }));
  await emitList(terminal, format, items, {
    columns: () => [
      { title: '', value: (item) => (item.current ? '*' : '') },
      { title: 'name', value: (item) => item.name },
      { title: 'server', value: (item) => item.server },
      { title: 'token', value: (item) => (item.hasToken ? 'kept' : 'none') },
    ],
    name: (item) => item.name,
    whenEmpty: 'no contexts yet; make one with: leonore login URL',
  });
}

async function change({ terminal }: App, name: string, edit: (config: Config) => Config, done: string): Promise<void> {
  const path = configPath(terminal.env);
  const config = await readConfig(path);
  if (!Object.hasOwn(config.contexts, name)) {
    throw new LeonoreError('cli.usage', `there is no context "${name}"; leonore context list shows them`);
  }
  await writeConfig(path, edit(config));
  terminal.err(done);
}
