/** `leonore gateway token`: what lets new gateways in. */
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { addOutputOption, emitList, emitOne, type OutputFormat } from '../output/emit.ts';
import { formatAge, parseDuration } from '../output/quantities.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import { collectValues, formatLabels, parseCount, parseLabels } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerGatewayToken(gateway: Command, app: App): void {
  const token = gateway
    .command('token')
    .description('Enrolment tokens: each lets so many gateways in, for so long.')
    .addHelpText(
      'after',
      `
Examples:
  $ leonore gateway token create
  $ leonore gateway token create --uses 500 --ttl 30d --label site=vienna
  $ leonore agent --server URL --token "$(leonore gateway token create -o name)" --id gw-7 --root /var/lib/leonore`,
    );

  addConnectionOptions(addOutputOption(token.command('create').description('make one; -o name writes the token alone')))
    .option('--uses <n>', 'how many gateways may enrol with it', parseCount, 1)
    .option('--ttl <duration>', 'how long it is good, such as 1h or 30d', '1d')
    .option('--label <key=value>', 'label each gateway that uses it; may be given again', collectValues, [])
    .action(async (flags: Flags & { uses: number; ttl: string; label: string[] }) => {
      const request = {
        uses: flags.uses,
        ttlSeconds: Math.max(1, Math.round(parseDuration(flags.ttl) / 1000)),
        labels: parseLabels(flags.label),
      };
      const client = await app.connect(flags);
      const created = await client.tokens.create(request, { signal: app.terminal.signal });
      await emitOne(app.terminal, flags.output, created, {
        name: (one) => one.token ?? '',
        render: (one) => [one.token ?? ''],
      });
      if (flags.output !== 'table') return;
      const uses = created.usesLeft === 1 ? 'one gateway' : `${created.usesLeft} gateways`;
      app.terminal.err(
        `token ${created.id}: good for ${uses}, ends ${formatAge(created.expiresAt, Date.now())}; it is shown this once`,
      );
      app.terminal.err('on the machine that is to become a gateway, with the address that it reaches the node by:');
      app.terminal.err(`  curl -fsSL ${client.baseUrl}/gateway/v1/install.sh | sudo sh -s -- --token ${created.token}`);
    });

  addConnectionOptions(addOutputOption(token.command('list').alias('ls').description('list them'))).action(
    async (flags: Flags) => {
      const client = await app.connect(flags);
      const items = await client.tokens.list({ signal: app.terminal.signal });
      const now = Date.now();
      await emitList(app.terminal, flags.output, items, {
        columns: () => [
          { title: 'id', value: (one) => one.id },
          { title: 'uses left', value: (one) => String(one.usesLeft), align: 'right' },
          { title: 'ends', value: (one) => formatAge(one.expiresAt, now) },
          { title: 'made', value: (one) => formatAge(one.createdAt, now) },
          { title: 'labels', value: (one) => formatLabels(one.labels) },
        ],
        name: (one) => one.id,
        whenEmpty: 'no enrolment tokens; make one with: leonore gateway token create',
      });
    },
  );

  addConnectionOptions(token.command('revoke').description('end tokens; gateways that enrolled with them stay'))
    .argument('<ids...>')
    .action(async (ids: string[], flags: ConnectionFlags) => {
      const client = await app.connect(flags);
      for (const id of ids) {
        await client.tokens.revoke(id, { signal: app.terminal.signal });
        app.terminal.err(`revoked ${id}`);
      }
    });
}
