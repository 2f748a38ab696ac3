/** A system's files (/proc, /sys, /etc) in a folder of their own. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface FakeSystem extends AsyncDisposable {
  readonly root: string;
  put(files: Readonly<Record<string, string>>): Promise<void>;
}

export async function fakeSystem(files: Readonly<Record<string, string>> = {}): Promise<FakeSystem> {
  const root = await mkdtemp(join(tmpdir(), 'leonore-system-'));
  const put = async (more: Readonly<Record<string, string>>): Promise<void> => {
    for (const [path, text] of Object.entries(more)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
  };
  await put(files);
  return { root, put, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

export const RASPBERRY: Readonly<Record<string, string>> = {
  '/proc/device-tree/model': 'Raspberry Pi 4 Model B Rev 1.4\0',
  '/proc/device-tree/serial-number': '10000000abcdef01\0',
  '/proc/cpuinfo':
    'processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid atomics\nCPU architecture: 8\n\nprocessor\t: 1\n',
  '/proc/meminfo': 'MemTotal:        3884392 kB\nMemFree:          100000 kB\nMemAvailable:    3000000 kB\n',
  '/proc/loadavg': '0.50 0.25 0.10 1/200 4242\n',
  '/proc/uptime': '86400.52 300000.00\n',
  '/etc/os-release':
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n# ID=other\n',
  '/sys/fs/cgroup/cgroup.controllers': 'cpu memory pids\n',
  '/sys/class/thermal/thermal_zone0/temp': '48312\n',
  '/sys/class/thermal/thermal_zone1/temp': '51726\n',
  '/sys/class/thermal/thermal_zone2/temp': '-274000\n',
  '/sys/class/thermal/thermal_zone3/temp': 'broken\n',
  '/sys/class/thermal/cooling_device0/temp': '99000\n',
  '/sys/class/net/eth0/type': '1\n',
  '/sys/class/net/eth0/uevent': 'INTERFACE=eth0\nIFINDEX=2\n',
  '/sys/class/net/eth0/device/vendor': 'x',
  '/sys/class/net/eth0/address': 'dc:a6:32:01:02:03\n',
  '/sys/class/net/wlan0/type': '1\n',
  '/sys/class/net/wlan0/uevent': 'DEVTYPE=wlan\nINTERFACE=wlan0\n',
  '/sys/class/net/wlan0/device/vendor': 'x',
  '/sys/class/net/can0/type': '280\n',
  '/sys/class/net/can0/device/vendor': 'x',
  '/sys/class/net/docker0/type': '1\n',
  '/sys/class/net/docker0/bridge/bridge_id': '8000\n',
  '/sys/class/net/veth1a2b/type': '1\n',
  '/sys/class/net/wg0/type': '65534\n',
  '/sys/class/net/lo/type': '772\n',
  '/proc/net/route':
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n' +
    'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n' +
    'eth0\t00000000\t0164A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n' +
    'eth0\t0064A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n',
  '/proc/net/if_inet6':
    '20010db8000000010000000000000007 02 40 00 00     eth0\n' +
    '20010db8000000015c1d2e3f4a5b6c7d 02 40 00 01     eth0\n' +
    'fe80000000000000dea632fffe010203 02 40 20 80     eth0\n',
};
