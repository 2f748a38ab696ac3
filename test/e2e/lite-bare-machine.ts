/** A machine with nothing: a read-only root with busybox's shell, /proc and /dev, no /tmp, no /etc, and one folder to write to. Takes root. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentProgram } from '@leonore/testkit';
import { AGENT_LITE } from './lite-shells.ts';

/** Why there can be none here. */
export const noBareMachine: string | false =
  spawnSync('unshare', ['-m', 'true']).status !== 0
    ? 'mount namespaces take root'
    : spawnSync('busybox', ['true']).status !== 0 && 'busybox is not installed';

/** `work`: for what it is built from. `root`: the folder, at the same path inside as outside. */
export async function bareMachine(work: string, root: string): Promise<AgentProgram> {
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
cp '${AGENT_LITE}' agent/
mount --bind '${root}' '.${root}'
mount -o remount,ro,bind '${machine}'
mount -o remount,ro '${machine}'
exec chroot . /bin/ash /agent/leonore-agent-lite "$@"`;
  return {
    call: ['/usr/bin/unshare', '-m', '/bin/sh', '-c', script, 'sh'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  };
}
