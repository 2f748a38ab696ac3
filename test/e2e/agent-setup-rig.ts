/** A machine of its own to install on: a folder in place of `/`, its shells, and a service manager that keeps services. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from '@leonore/testkit';

export interface Said {
  readonly code: number | null;
  /** What it wrote to stdout and stderr. */
  readonly text: string;
}

export interface Machine extends AsyncDisposable {
  readonly prefix: string;
  /** Programs that stand before those of the system. */
  readonly bin: string;
  /** `curl ... | SHELL -s -- WORDS` */
  install(script: string, words: readonly string[], options?: CallOptions): Promise<Said>;
  call(command: string, words?: readonly string[], options?: CallOptions): Promise<Said>;
  program(name: string, text: string): Promise<void>;
  /** Every path below the prefix, with what links lead to. */
  paths(): Promise<string[]>;
  /** Command lines of processes that name the prefix. */
  processes(): Promise<string[]>;
  read(path: string): Promise<string>;
}

export interface CallOptions {
  readonly shell?: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * In place of systemctl: does for one unit what a test can see, with the unit's own words. Writes what it was told to
 * `PREFIX/told`.
 */
const SYSTEMCTL = `#!/bin/sh
unit=$LEONORE_PREFIX/etc/systemd/system/leonore-agent.service
echo "$*" >>"$LEONORE_PREFIX/told"
pid=$(cat "$LEONORE_PREFIX/pid" 2>/dev/null)
stop() { [ -z "$pid" ] || { kill "$pid"; while kill -0 "$pid"; do sleep 0.1; done; rm -f "$LEONORE_PREFIX/pid"; } 2>/dev/null; }
case "$*" in
	restart*)
		stop
		set -- $(sed -n 's/^ExecStart=//p' "$unit")
		export "$(sed -n 's/^Environment=//p' "$unit")"
		"$@" >/dev/null 2>&1 </dev/null &
		echo $! >"$LEONORE_PREFIX/pid"
		;;
	disable*--now*) stop ;;
	is-active*) kill -0 "$pid" 2>/dev/null ;;
esac
`;

export async function newMachine(init: 'systemd' | 'sysv' | 'none'): Promise<Machine> {
  const folder = await temporaryFolder('leonore-machine-');
  const bin = join(folder.path, 'bin');
  const prefix = join(folder.path, 'root');
  const place = { systemd: 'run/systemd/system', sysv: 'etc/init.d', none: 'etc' }[init];
  for (const path of [bin, join(prefix, place)]) await mkdir(path, { recursive: true });

  const call = (command: string, words: readonly string[], { env = {} }: CallOptions = {}, input = ''): Promise<Said> =>
    new Promise((resolve, reject) => {
      const child = spawn(command, words, {
        // Without this project's Node, as on a gateway.
        env: { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`, LEONORE_PREFIX: prefix, HOME: folder.path, ...env },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let text = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (more: string) => void (text += more));
      child.on('error', reject);
      // Services live on and may hold what they have inherited.
      child.on('exit', (code) => resolve({ code, text }));
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    });
  const machine: Machine = {
    prefix,
    bin,
    install: (script, words, options = {}) => {
      const [shell, ...before] = options.shell ?? ['/bin/sh'];
      return call(shell, [...before, '-s', '--', ...words], options, script);
    },
    call: (command, words = [], options) => call(command, words, options),
    async program(name, text) {
      await writeFile(join(bin, name), text);
      await chmod(join(bin, name), 0o755);
    },
    async paths() {
      const entries = await readdir(prefix, { recursive: true, withFileTypes: true });
      const names = entries.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return entry.isSymbolicLink() ? `${path} -> ${await readlink(path)}` : path;
      });
      return (await Promise.all(names)).toSorted();
    },
    async processes() {
      const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && name !== String(process.pid));
      const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
      return lines.map((line) => line.replaceAll('\0', ' ')).filter((line) => line.includes(prefix));
    },
    read: (path) => readFile(join(prefix, path), 'utf8'),
    async [Symbol.asyncDispose]() {
      await call(join(prefix, 'usr/local/sbin/leonore-agent-uninstall'), []).catch(() => undefined);
      await folder[Symbol.asyncDispose]();
    },
  };
  if (init === 'systemd') await machine.program('systemctl', SYSTEMCTL);
  return machine;
}
