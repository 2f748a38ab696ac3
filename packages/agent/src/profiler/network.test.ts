import assert from 'node:assert/strict';
import { endianness, type NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { fakeSystem, RASPBERRY } from '../test-support/fake-system.ts';
import { findNetwork } from './network.ts';
import { systemFiles } from './system-files.ts';

const v4 = (address: string, length: number, internal = false): NetworkInterfaceInfo => ({
  address,
  netmask: '',
  mac: 'dc:a6:32:01:02:03',
  internal,
  family: 'IPv4',
  cidr: `${address}/${length}`,
});
const v6 = (address: string): NetworkInterfaceInfo => ({
  address,
  netmask: '',
  mac: 'dc:a6:32:01:02:03',
  internal: false,
  family: 'IPv6',
  cidr: `${address}/64`,
  scopeid: 0,
});

const PRESENT = {
  lo: [v4('127.0.0.1', 8, true)],
  eth0: [
    v4('192.168.100.27', 22),
    v6('2001:db8:0:1::7'),
    v6('2001:db8:0:1:5c1d:2e3f:4a5b:6c7d'),
    v6('fe80::dea6:32ff:fe01:203'),
  ],
  docker0: [v4('172.17.0.1', 16)],
  veth1a2b: [v6('fe80::1')],
  wg0: [v4('10.7.0.3', 32)],
};

void test('tells interfaces that lead out, in the words of the kernel; no addresses that pass, no veth', async () => {
  await using system = await fakeSystem(RASPBERRY);
  const network = await findNetwork(systemFiles(system.root), { hardwareIds: false, read: () => PRESENT });
  assert.deepEqual(network.interfaces, [
    { name: 'can0', kind: 'can', addresses: [] },
    { name: 'docker0', kind: 'bridge', addresses: ['172.17.0.1/16'] },
    { name: 'eth0', kind: 'ethernet', addresses: ['192.168.100.27/22', '2001:db8:0:1::7/64'] },
    { name: 'wg0', kind: 'tunnel', addresses: ['10.7.0.3/32'] },
    { name: 'wlan0', kind: 'wifi', addresses: [] },
  ]);
  if (endianness() === 'LE') assert.deepEqual(network.route, { interface: 'eth0', address: '192.168.100.1' });
  assert.equal(network.subnet, '192.168.100.0/22');
});

void test('tells MAC addresses only when it may', async () => {
  await using system = await fakeSystem(RASPBERRY);
  const find = (hardwareIds: boolean) =>
    findNetwork(systemFiles(system.root), { hardwareIds, read: () => ({ eth0: PRESENT.eth0 }) });
  assert.ok(!JSON.stringify(await find(false)).includes('dc:a6'));
  const eth0 = (await find(true)).interfaces.find(({ name }) => name === 'eth0');
  assert.equal(eth0?.mac, 'dc:a6:32:01:02:03');
});

void test('finds its way over IPv6 where there is no other, and none where there is none', async () => {
  await using system = await fakeSystem({
    '/proc/net/ipv6_route':
      '00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000000a 00000400 00000001 00000000 00000003     eth0\n' +
      '00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n',
  });
  const { route, subnet } = await findNetwork(systemFiles(system.root), { hardwareIds: false, read: () => ({}) });
  assert.deepEqual(route, { interface: 'eth0', address: 'fe80:0000:0000:0000:0000:0000:0000:000a' });
  assert.equal(subnet, undefined);
  await using bare = await fakeSystem();
  assert.deepEqual(await findNetwork(systemFiles(bare.root), { hardwareIds: true, read: () => ({}) }), {
    interfaces: [],
  });
});

void test('of a machine with hundreds of interfaces the first are told', async () => {
  await using system = await fakeSystem();
  const many = Object.fromEntries(
    Array.from({ length: 400 }, (_, i) => [`if${i}`, Array(40).fill(v4(`10.0.${i % 250}.1`, 24))]),
  );
  const { interfaces } = await findNetwork(systemFiles(system.root), { hardwareIds: true, read: () => many });
  assert.equal(interfaces.length, 32);
  assert.equal(interfaces[0]?.addresses.length, 16);
});
