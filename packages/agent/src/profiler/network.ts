/** How this machine is connected: interfaces that lead out of it, the default route, the subnet. */
import { endianness, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { GatewayProfile, NetworkInterface } from '@leonore/protocol';
import { oneLine, type SystemFiles } from './system-files.ts';

export type ReadInterfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>;

const MAX_INTERFACES = 32;
const MAX_ADDRESSES = 16;

/**
 * Interfaces are those with an address that counts beyond their link, and what is hardware: containers make and lose
 * others all the time. `hardwareIds`: MAC addresses too.
 */
export async function findNetwork(
  files: SystemFiles,
  { hardwareIds, read = networkInterfaces }: { hardwareIds: boolean; read?: ReadInterfaces },
): Promise<NonNullable<GatewayProfile['network']>> {
  const known = read();
  const passing = await passingAddresses(files);
  const route = await defaultRoute(files);
  const names = new Set([...(await files.names('/sys/class/net')), ...Object.keys(known)]);
  const interfaces: NetworkInterface[] = [];
  for (const name of [...names].toSorted()) {
    if (name.length > 64 || interfaces.length === MAX_INTERFACES) continue;
    const entries = (known[name] ?? []).filter(({ internal }) => !internal);
    const lasting = entries.filter(({ address }) => !isLinkLocal(address) && !passing.has(expanded(address)));
    const hardware = await files.has(`/sys/class/net/${name}/device`);
    if (lasting.length === 0 && !hardware) continue;
    const kind = await kindOf(files, name, hardware);
    const mac = hardwareIds ? await macOf(files, name, entries) : undefined;
    interfaces.push({
      name,
      ...(kind === undefined ? {} : { kind }),
      addresses: lasting
        .map(({ cidr, address }) => (cidr ?? address).slice(0, 64))
        .toSorted()
        .slice(0, MAX_ADDRESSES),
      ...(mac === undefined ? {} : { mac }),
    });
  }
  const subnet = route && subnetOf(interfaces.find(({ name }) => name === route.interface));
  return { interfaces, ...(route ? { route } : {}), ...(subnet === undefined ? {} : { subnet }) };
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) || address.startsWith('169.254.');
}

const TEMPORARY = 0x01;
const DEPRECATED = 0x20;

/** Addresses that the machine changes by itself for privacy (RFC 8981), as 32 hex digits. They would be news each day. */
async function passingAddresses(files: SystemFiles): Promise<ReadonlySet<string>> {
  const lines = ((await files.text('/proc/net/if_inet6')) ?? '').split('\n');
  const found = lines.flatMap((line) => {
    const [address = '', , , , flags = '0'] = line.trim().split(/\s+/);
    return (Number.parseInt(flags, 16) & (TEMPORARY | DEPRECATED)) === 0 ? [] : [address.toLowerCase()];
  });
  return new Set(found);
}

/** An IPv6 address as 32 hex digits. */
function expanded(address: string): string {
  const [head = '', tail] = address.toLowerCase().split('%')[0]?.split('::') ?? [];
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':').map((one) => one.padStart(4, '0')));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array<string>(missing).fill('0000'), ...after].join('');
}

/** Numbers of the kernel's include/uapi/linux/if_arp.h. */
const ETHERNET = '1';
const KIND_OF_TYPE: Readonly<Record<string, NetworkInterface['kind']>> = {
  280: 'can',
  512: 'tunnel',
  519: 'cellular',
  768: 'tunnel',
  776: 'tunnel',
  778: 'tunnel',
  65534: 'tunnel',
};
const KIND_OF_DEVTYPE: Readonly<Record<string, NetworkInterface['kind']>> = {
  wlan: 'wifi',
  wwan: 'cellular',
  bridge: 'bridge',
  bond: 'bond',
  vlan: 'vlan',
  wireguard: 'tunnel',
  vxlan: 'tunnel',
};

async function kindOf(files: SystemFiles, name: string, hardware: boolean): Promise<NetworkInterface['kind']> {
  const at = `/sys/class/net/${name}`;
  const type = await files.text(`${at}/type`);
  if (type === undefined) return undefined;
  const devtype = /^DEVTYPE=(\w+)$/m.exec((await files.text(`${at}/uevent`)) ?? '')?.[1] ?? '';
  if (KIND_OF_DEVTYPE[devtype]) return KIND_OF_DEVTYPE[devtype];
  if ((await files.has(`${at}/wireless`)) || (await files.has(`${at}/phy80211`))) return 'wifi';
  if (await files.has(`${at}/bridge`)) return 'bridge';
  if (await files.has(`${at}/tun_flags`)) return 'tunnel';
  if (/^(wwan|rmnet)/.test(name)) return 'cellular';
  if (KIND_OF_TYPE[type]) return KIND_OF_TYPE[type];
  return type === ETHERNET && hardware ? 'ethernet' : 'virtual';
}

async function macOf(
  files: SystemFiles,
  name: string,
  entries: readonly NetworkInterfaceInfo[],
): Promise<string | undefined> {
  const mac = (entries[0]?.mac ?? (await files.text(`/sys/class/net/${name}/address`)))?.toLowerCase() ?? '';
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5,19}$/.test(mac) && /[1-9a-f]/.test(mac) ? mac : undefined;
}

/** The cheapest way to everywhere: of IPv4, else of IPv6. */
async function defaultRoute(files: SystemFiles): Promise<{ interface: string; address?: string } | undefined> {
  const rows = (text: string | undefined) => (text ?? '').split('\n').map((line) => line.trim().split(/\s+/));
  const v4 = rows(await files.text('/proc/net/route')).filter(
    ([name, destination, , flags, , , , mask]) =>
      name !== undefined && destination === '00000000' && mask === '00000000' && isUp(flags),
  );
  const [best] = v4.toSorted((a, b) => Number(a[6]) - Number(b[6]));
  const name = oneLine(best?.[0], 64);
  if (best && name !== undefined) {
    const address = addressOf(best[2] ?? '');
    return { interface: name, ...(address === undefined ? {} : { address }) };
  }
  const v6 = rows(await files.text('/proc/net/ipv6_route')).filter(
    (row) => /^0{32}$/.test(row[0] ?? '') && row[1] === '00' && isUp(row[8]) && row[9] !== 'lo',
  );
  const [other] = v6.toSorted((a, b) => Number.parseInt(a[5] ?? '', 16) - Number.parseInt(b[5] ?? '', 16));
  const otherName = oneLine(other?.[9], 64);
  if (otherName === undefined) return undefined;
  const next = other?.[4] ?? '';
  const address =
    /^[0-9a-f]{32}$/.test(next) && !/^0+$/.test(next) ? next.replaceAll(/(.{4})(?=.)/g, '$1:') : undefined;
  return { interface: otherName, ...(address === undefined ? {} : { address }) };
}

const ROUTE_UP = 1;
const isUp = (flags: string | undefined): boolean => (Number.parseInt(flags ?? '0', 16) & ROUTE_UP) !== 0;

/** /proc/net/route writes addresses as the machine keeps numbers. Undefined for 0.0.0.0: a link with one other end. */
function addressOf(hex: string): string | undefined {
  if (!/^[0-9A-Fa-f]{8}$/.test(hex) || hex === '00000000') return undefined;
  const bytes = [...Buffer.from(hex, 'hex')];
  return (endianness() === 'LE' ? bytes.toReversed() : bytes).join('.');
}

function subnetOf(one: NetworkInterface | undefined): string | undefined {
  for (const cidr of one?.addresses ?? []) {
    const [, a, b, c, d, length] = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr) ?? [];
    if (length === undefined) continue;
    const number = [a, b, c, d].reduce((sum, part) => sum * 256 + Number(part), 0);
    const host = 2 ** (32 - Number(length));
    const network = Math.floor(number / host) * host;
    return `${[24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join('.')}/${length}`;
  }
  return undefined;
}
