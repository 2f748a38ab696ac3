/** What this machine is: hardware, operating system, C library. Changes seldom, so it is looked at seldom. */
import { arch, cpus, platform, release } from 'node:os';
import { boardWord, type GatewayProfile } from '@leonore/protocol';
import { findCompatibleArchs, findLibc } from './platform.ts';
import { oneLine, type SystemFiles } from './system-files.ts';

export type MachineFacts = Pick<
  GatewayProfile,
  | 'board'
  | 'serial'
  | 'os'
  | 'distribution'
  | 'arch'
  | 'libc'
  | 'libcVersion'
  | 'compatibleArchs'
  | 'kernel'
  | 'cpu'
  | 'cgroup'
>;

/** `hardwareIds`: the serial number too. */
export async function machineFacts(
  files: SystemFiles,
  { hardwareIds }: { hardwareIds: boolean },
): Promise<MachineFacts> {
  const [board, serial, distribution, libc, features, cgroup, compatibleArchs] = await Promise.all([
    findBoard(files),
    hardwareIds ? findSerial(files) : undefined,
    findDistribution(files),
    findLibc(),
    findCpuFeatures(files),
    findCgroupVersion(files),
    platform() === 'linux' ? findCompatibleArchs(arch(), files.has) : [],
  ]);
  const processors = cpus();
  const model = oneLine(processors[0]?.model, 128);
  return {
    ...(board === undefined ? {} : { board }),
    ...(serial === undefined ? {} : { serial }),
    os: platform(),
    ...(distribution === undefined ? {} : { distribution }),
    arch: arch(),
    ...(libc === undefined ? {} : { libc: libc.name }),
    ...(libc?.version === undefined ? {} : { libcVersion: libc.version }),
    ...(compatibleArchs.length === 0 ? {} : { compatibleArchs }),
    kernel: release().slice(0, 128),
    cpu: {
      ...(model === undefined ? {} : { model }),
      cores: Math.max(1, processors.length),
      ...(features.length === 0 ? {} : { features }),
    },
    ...(cgroup === undefined ? {} : { cgroup }),
  };
}

/** What makers leave in the DMI when they have nothing to say. */
const NOTHING =
  /^(to be filled by o\.?e\.?m\.?|default string|system (product name|manufacturer|serial number)|not (specified|applicable|available)|none|unknown|n\/a|o\.?e\.?m\.?|[0\s.-]*)$/i;

async function said(files: SystemFiles, path: string): Promise<string | undefined> {
  const text = oneLine(await files.text(path), 128);
  return text === undefined || NOTHING.test(text) ? undefined : text;
}

async function findBoard(files: SystemFiles): Promise<string | undefined> {
  const model =
    (await said(files, '/proc/device-tree/model')) ?? (await said(files, '/sys/firmware/devicetree/base/model'));
  const product = model ?? (await said(files, '/sys/class/dmi/id/product_name'));
  const vendor = model === undefined ? await said(files, '/sys/class/dmi/id/sys_vendor') : undefined;
  const named = vendor !== undefined && product?.toLowerCase().startsWith(vendor.toLowerCase());
  const board = oneLine(named ? product : [vendor, product].filter(Boolean).join(' '), 128);
  // One that no selector could name says nothing.
  return board === undefined || boardWord(board) === '' ? undefined : board;
}

async function findSerial(files: SystemFiles): Promise<string | undefined> {
  return (
    (await said(files, '/proc/device-tree/serial-number')) ?? (await said(files, '/sys/class/dmi/id/product_serial'))
  );
}

/** os-release(5) */
async function findDistribution(files: SystemFiles): Promise<GatewayProfile['distribution']> {
  const text = (await files.text('/etc/os-release')) ?? (await files.text('/usr/lib/os-release')) ?? '';
  const value = (key: string, max: number): string | undefined => {
    const raw = new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
    const quoted = /^(["'])(.*)\1$/.exec(raw)?.[2];
    return oneLine((quoted ?? raw).replaceAll(/\\(["'$`\\])/g, '$1'), max);
  };
  const id = value('ID', 64);
  if (id === undefined) return undefined;
  const version = value('VERSION_ID', 64);
  const name = value('PRETTY_NAME', 128);
  return { id, ...(version === undefined ? {} : { version }), ...(name === undefined ? {} : { name }) };
}

/** By the kernel's names, those by which builds are told apart; a processor has hundreds. */
const FEATURES = new Set(
  (
    'sse4_1 sse4_2 avx avx2 avx512f fma bmi2 aes sha_ni vmx svm ' +
    'neon asimd vfpv3 vfpv4 idiva crc32 sha2 atomics asimddp sve thumb'
  ).split(' '),
);

async function findCpuFeatures(files: SystemFiles): Promise<string[]> {
  const info = (await files.text('/proc/cpuinfo')) ?? '';
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1]?.split(/\s+/) ?? [];
  const armArchitecture = /^CPU architecture\s*:\s*(\d+)/m.exec(info)?.[1];
  const words = [...(armArchitecture === undefined ? [] : [`armv${armArchitecture}`]), ...flags];
  return [...new Set(words)].filter((word) => FEATURES.has(word) || /^armv\d{1,2}$/.test(word)).toSorted();
}

async function findCgroupVersion(files: SystemFiles): Promise<number | undefined> {
  if (await files.has('/sys/fs/cgroup/cgroup.controllers')) return 2;
  return (await files.names('/sys/fs/cgroup')).length > 0 ? 1 : undefined;
}
