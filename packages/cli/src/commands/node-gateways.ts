/** How `leonore node` lets gateways in that nobody announced, whose word it takes for it, and how often they may ask. */
import { LeonoreError } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import { collectValues } from './words.ts';

export interface GatewayFlags {
  readonly tenant: readonly string[];
  readonly gatewayToken: readonly string[];
  readonly gatewayAuthority: readonly string[];
  readonly trustProxy?: true | string;
  readonly readRate: string;
  readonly writeRate: string;
  readonly rateExempt: readonly string[];
}

export function addGatewayOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--gateway-token <[tenant=]secret>',
        'lets unknown gateways of other makers come in by themselves with it (GatewayToken of DDI); may be given again',
      )
        .env('LEONORE_GATEWAY_TOKEN')
        .argParser(collectValues)
        .default([], 'none'),
    )
    .option(
      '--trust-proxy [addresses]',
      'believe X-Forwarded-* headers of proxies at these addresses and networks, such as 10.0.0.2,10.1.0.0/16; without any, of everybody: only behind a proxy that sets them',
    )
    .addOption(
      new Option(
        '--gateway-authority <[tenant=]name>',
        'lets gateways in whose certificate it signed, on the word of a proxy of --trust-proxy that ends TLS; may be given again',
      )
        .env('LEONORE_GATEWAY_AUTHORITY')
        .argParser(collectValues)
        .default([], 'none'),
    )
    .addOption(
      new Option('--read-rate <n>', 'most reads of gateways from one address in a second; 0 for no limit')
        .env('LEONORE_READ_RATE')
        .default('200'),
    )
    .addOption(new Option('--write-rate <n>', 'the same for what they write').env('LEONORE_WRITE_RATE').default('50'))
    .addOption(
      new Option('--rate-exempt <network>', 'an address or network without these limits; may be given again; or "none"')
        .env('LEONORE_RATE_EXEMPT')
        .argParser(collectValues)
        .default([], 'private networks'),
    );
}

/** What `startNode` takes of it. @throws LeonoreError `cli.usage` */
export function gatewayOptionsOf(flags: GatewayFlags) {
  const { tenant, gatewayToken, gatewayAuthority, trustProxy, rateExempt } = flags;
  const authorities = Object.groupBy(
    gatewayAuthority.map((text) => ofTenant(text, tenant)),
    ([owner]) => owner,
  );
  return {
    gatewayTokens: Object.fromEntries(gatewayToken.map((text) => ofTenant(text, tenant))),
    gatewayAuthorities: Object.fromEntries(
      Object.entries(authorities).map(([owner, all = []]) => [owner, all.map(([, name]) => name)]),
    ),
    ...(trustProxy === undefined ? {} : { trustProxy: trustProxy === true || trustProxy.split(',') }),
    rateLimits: {
      reads: parseRate('--read-rate', flags.readRate),
      writes: parseRate('--write-rate', flags.writeRate),
      ...(rateExempt.length === 0 ? {} : { exempt: rateExempt.filter((network) => network !== 'none') }),
    },
  };
}

/** `WORD`, or `TENANT=WORD` where that tenant is served. */
function ofTenant(text: string, tenants: readonly string[]): [tenant: string, word: string] {
  const named = ['default', ...tenants].find((tenant) => text.startsWith(`${tenant}=`));
  return named === undefined ? ['default', text] : [named, text.slice(named.length + 1)];
}

function parseRate(flag: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LeonoreError('cli.usage', `${flag}: "${text}" is no number of requests; write it like 200`);
}
