/** Tools for agent-lite that do something else first, and one that kills it when it calls the nth of them. */
import { execFileSync } from 'node:child_process';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AgentProgram } from '@leonore/testkit';

/** What it calls, apart from what its shell has built in. */
const TOOLS =
  `awk cat cmp cp cut date df env find grep gzip head ln ls mkdir mkfifo mv od paste readlink rm sed setsid sha256sum
sleep sync tail tar timeout tr uname wc chmod curl wget`.split(/\s+/);

/** The same shell, which finds `dir` in front of its PATH; `write` puts a tool there, as lines of shell before the real one is called. */
export function withTools(program: AgentProgram, dir: string) {
  const [shell, ...rest] = program.call;
  const path = program.env?.['PATH'] ?? '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';
  const busybox = program.env?.['PATH'] === undefined ? undefined : dirname(shell);
  const real = (tool: string): string | undefined => {
    try {
      return busybox === undefined
        ? execFileSync('/bin/sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim()
        : join(busybox, tool);
    } catch {
      return undefined;
    }
  };
  return {
    program: { call: [shell, ...rest], env: { PATH: `${dir}:${path}` } } satisfies AgentProgram,
    async write(tool: string, lines: string): Promise<void> {
      const found = real(tool);
      if (found === undefined || (busybox !== undefined && !(await readdir(busybox)).includes(tool))) return;
      await writeFile(join(dir, tool), `#!${shell}\n${lines}\nexec ${found} "$@"\n`, { mode: 0o755 });
    },
  };
}

export interface Killer {
  readonly program: AgentProgram;
  /** The agent of `root` is killed in place of the nth command from now on. */
  arm(nth: number): Promise<void>;
  /** How many commands were still to come; undefined when it was killed. */
  disarm(): Promise<number | undefined>;
}

/** Counts what the agent calls, its worker's commands among them; those of applications have another PATH. */
export async function killer(program: AgentProgram, dir: string, root: string): Promise<Killer> {
  const tools = withTools(program, dir);
  const left = join(dir, '.left');
  const lines = `[ -e ${left} ] && read -r n <${left} 2>/dev/null && [ -n "$n" ] && {
if [ "$n" -gt 1 ]; then echo $((n - 1)) >${left}
else read -r pid rest <${root}/run/.agent.pid; while [ -e ${left} ]; do /bin/rm -f ${left}; done; kill -9 "$pid" $$; fi; }`;
  for (const tool of TOOLS) await tools.write(tool, lines);
  return {
    program: tools.program,
    arm: (nth) => writeFile(left, `${nth}\n`),
    async disarm() {
      const text = await readFile(left, 'utf8').catch(() => undefined);
      await rm(left, { force: true });
      return text === undefined ? undefined : Number(text);
    },
  };
}
