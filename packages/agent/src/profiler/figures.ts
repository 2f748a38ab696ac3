/** What moves all the time: memory, disk, load, temperature, time since the start, the clock. */
import { freemem, loadavg, totalmem, uptime } from 'node:os';
import type { GatewayProfile } from '@leonore/protocol';
import { diskSpace } from './platform.ts';
import type { SystemFiles } from './system-files.ts';

export type Figures = Pick<GatewayProfile, 'memory' | 'disk' | 'load' | 'temperature' | 'uptime' | 'clock'>;

/** `root`: its file system is the disk that counts. `clockOffset`: seconds, see `clock.offset`. */
export async function readFigures(
  files: SystemFiles,
  { root, clockOffset }: { root: string; clockOffset: number | undefined },
): Promise<Figures> {
  const [memory, disk, loads, temperature, seconds, synchronised] = await Promise.all([
    readMemory(files),
    diskSpace(root).catch(() => undefined),
    files.text('/proc/loadavg'),
    readTemperature(files),
    files.text('/proc/uptime'),
    isSynchronised(files),
  ]);
  const load = amount(loads?.split(' ')[1]) ?? loadavg()[1] ?? 0;
  const clock = {
    ...(clockOffset === undefined ? {} : { offset: clockOffset }),
    ...(synchronised === undefined ? {} : { synchronised }),
  };
  return {
    memory,
    ...(disk === undefined ? {} : { disk }),
    load: Math.min(1e6, Math.round(load * 100) / 100),
    ...(temperature === undefined ? {} : { temperature }),
    uptime: Math.floor(amount(seconds?.split(' ')[0]) ?? uptime()),
    ...(Object.keys(clock).length === 0 ? {} : { clock }),
  };
}

function amount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** proc_meminfo(5) */
async function readMemory(files: SystemFiles): Promise<{ total: number; free: number }> {
  const info = (await files.text('/proc/meminfo')) ?? '';
  const bytes = (key: string): number | undefined => {
    const kibibytes = amount(new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(info)?.[1]);
    return kibibytes === undefined || kibibytes > 2 ** 42 ? undefined : kibibytes * 1024;
  };
  const total = bytes('MemTotal');
  if (total === undefined) return { total: totalmem(), free: freemem() };
  return { total, free: bytes('MemAvailable') ?? bytes('MemFree') ?? 0 };
}

/** Of the hottest zone, in half degrees. A sensor that is not connected tells the strangest things. */
async function readTemperature(files: SystemFiles): Promise<number | undefined> {
  const zones = (await files.names('/sys/class/thermal')).filter((name) => /^thermal_zone\d+$/.test(name));
  const texts = await Promise.all(zones.slice(0, 64).map((name) => files.text(`/sys/class/thermal/${name}/temp`)));
  const degrees = texts
    .filter((text) => text !== undefined && /^-?\d{1,9}$/.test(text))
    .map((text) => Number(text) / 1000)
    .filter((value) => value > -60 && value < 200);
  return degrees.length === 0 ? undefined : Math.round(Math.max(...degrees) * 2) / 2;
}

/** What systemd-timesyncd says; undefined where it does not run. */
async function isSynchronised(files: SystemFiles): Promise<boolean | undefined> {
  if (await files.has('/run/systemd/timesync/synchronized')) return true;
  return (await files.has('/run/systemd/timesync')) ? false : undefined;
}
