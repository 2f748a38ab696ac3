/** Sets of addresses as operators write them: `10.0.0.2`, `10.0.0.0/8`, `fd00::/8`. Pure. */
import { BlockList, isIP } from 'node:net';
import { LeonoreError } from '@leonore/protocol';

/** True for an address of the set; an IPv4 address may come as `::ffff:10.0.0.2`. */
export type Networks = (address: string | undefined) => boolean;

/** Where gateways are that share no address with strangers: this machine, private and link-local networks (RFC 1918, 3927, 4193, 4291). */
export const PRIVATE_NETWORKS: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '::1',
  'fc00::/7',
  'fe80::/10',
];

/** @throws LeonoreError config.invalid */
export function networks(texts: readonly string[]): Networks {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', prefix, ...rest] = text.trim().split('/');
    const family = familyOf(address);
    const bits =
      prefix === undefined ? (family === 'ipv6' ? 128 : 32) : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
    if (!family || rest.length > 0 || !(bits >= 0 && bits <= (family === 'ipv6' ? 128 : 32)))
      throw new LeonoreError('config.invalid', `"${text}" is no address and no network; write it like 10.0.0.0/8`);
    list.addSubnet(address, bits, family);
  }
  return (address) => {
    const family = familyOf(address);
    return address !== undefined && family !== undefined && list.check(address, family);
  };
}

function familyOf(address: string | undefined): 'ipv4' | 'ipv6' | undefined {
  switch (isIP(address ?? '')) {
    case 4:
      return 'ipv4';
    case 6:
      return 'ipv6';
    default:
      return undefined;
  }
}
