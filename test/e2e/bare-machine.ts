/** A machine with nothing: a read-only root with busybox's shell, /proc and /dev, no /tmp, no /etc, and one folder to write to. Takes root. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { AgentProgram } from '@leonore/testkit';

/** Why there can be none here. */
export const noBareMachine: string | false =
  spawnSync('unshare', ['-m', 'true']).status !== 0
    ? 'mount namespaces take root'
    : spawnSync('busybox', ['true']).status !== 0 && 'busybox is not installed';

/** What is there beside busybox: these files, in `/agent`, and how the agent is called with them. */
interface Brought {
  readonly files: readonly string[];
  readonly call: readonly string[];
}

/** `work`: for what it is built from. `root`: the folder, at the same path inside as outside. */
export async function bareMachine(work: string, root: string, { files, call }: Brought): Promise<AgentProgram> {
  const machine = join(work, 'machine');
  const bin = join(work, 'bin');
  await Promise.all([machine, bin, root].map((dir) => mkdir(dir, { recursive: true })));
  execFileSync('busybox', ['--install', bin]);
  const script = `set -e
mount --make-rprivate /
mount -t tmpfs none '${machine}'
cd '${machine}'
mkdir -p bin lib lib64 proc dev agent '.${root}'
mount --bind '${bin}' bin
mount --bind /lib lib
[ ! -d /lib64 ] || mount --bind /lib64 lib64
for each in bin lib lib64; do [ ! -d /$each ] || mount -o remount,ro,bind $each; done
mount --bind /proc proc
mount --bind /dev dev
${files.map((file) => `touch 'agent/${basename(file)}'; mount --bind '${file}' 'agent/${basename(file)}'`).join('\n')}
mount --bind '${root}' '.${root}'
mount -o remount,ro,bind '${machine}'
mount -o remount,ro '${machine}'
exec chroot . ${call.join(' ')} "$@"`;
  return {
    call: ['/usr/bin/unshare', '-m', '/bin/sh', '-c', script, 'sh'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  };
}
