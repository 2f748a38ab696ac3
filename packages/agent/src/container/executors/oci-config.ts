/**
 * What an OCI runtime is told of an application: the package's root file system, read-only; the application's folders at
 * the same paths as outside; the host's network; its own user without any rights of root. Pure.
 * See https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 */
import { dirname, join } from 'node:path';
import type { ControlScript } from '@leonore/protocol';
import { type RunnableApplication, scriptEnvironment } from '../application.ts';

export interface OciFacts {
  /** Path in the hierarchy of cgroups. */
  readonly cgroup: string;
  /** Which of the files that tell of the network are there on the host. */
  readonly hostFiles: readonly string[];
}

/** What Docker leaves to root in a container. */
const ROOT_CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];
/** So that names are found and the own one, too. */
export const HOST_FILES = ['/etc/resolv.conf', '/etc/hosts'];
const CPU_PERIOD_US = 100_000;

/** Beside binary/ and control/, so it goes with the version. */
export function rootfsOf(application: RunnableApplication): string {
  return join(dirname(application.binaryDir), 'rootfs');
}

/** `process` of config.json, and what `exec --process` takes. */
export function ociProcess(application: RunnableApplication, user: number | undefined, script: ControlScript) {
  const id = user ?? 0;
  const capabilities = user === undefined ? ROOT_CAPABILITIES : [];
  const env = { ...scriptEnvironment(application, script), LEONORE_INSTALL_PATH: application.binaryDir };
  return {
    terminal: false,
    user: { uid: id, gid: id },
    args: [join(application.controlDir, script)],
    env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    cwd: application.binaryDir,
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: true,
  };
}

export function ociConfig(application: RunnableApplication, user: number | undefined, facts: OciFacts) {
  const { binaryDir, controlDir, dataDir, tmpDir, needs = [], run } = application;
  const { cpu, memory, processes } = run.limits ?? {};
  return {
    ociVersion: '1.0.2',
    process: ociProcess(application, user, 'start'),
    root: { path: rootfsOf(application), readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      tmpfs('/dev', ['nosuid', 'strictatime', 'mode=755', 'size=64k']),
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      tmpfs('/dev/shm', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=16m']),
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      tmpfs('/tmp', ['nosuid', 'nodev', 'mode=1777', 'size=16m']),
      tmpfs('/run', ['nosuid', 'nodev', 'mode=1777', 'size=16m']),
      ...facts.hostFiles.map((file) => bind(file, 'ro')),
      ...[...needs, binaryDir, controlDir].map((folder) => bind(folder, 'ro')),
      ...(tmpDir === undefined ? [] : [bind(tmpDir, 'rw')]),
      bind(dataDir, 'rw'),
    ],
    linux: {
      cgroupsPath: facts.cgroup,
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        ...(cpu === undefined ? {} : { cpu: { quota: Math.ceil(cpu * CPU_PERIOD_US), period: CPU_PERIOD_US } }),
        ...(memory === undefined ? {} : { memory: { limit: memory } }),
        ...(processes === undefined ? {} : { pids: { limit: processes } }),
      },
      namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      maskedPaths: [
        '/proc/acpi',
        '/proc/kcore',
        '/proc/keys',
        '/proc/timer_list',
        '/proc/sched_debug',
        '/sys/firmware',
      ],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

function tmpfs(destination: string, options: readonly string[]) {
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

function bind(path: string, access: 'ro' | 'rw') {
  return { destination: path, type: 'bind', source: path, options: ['bind', access, 'nosuid', 'nodev'] };
}
