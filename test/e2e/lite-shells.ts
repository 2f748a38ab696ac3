/** The shells that agent-lite is run by, each with what it finds on its PATH; those that are missing here say so. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { access, mkdtemp, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AgentProgram } from '@leonore/testkit';

export const AGENT_LITE = fileURLToPath(new URL('../../packages/agent-lite/leonore-agent-lite', import.meta.url));

export interface LiteShell {
  readonly name: string;
  readonly program: AgentProgram;
  /** Whether every test is for it. bash, which no small gateway has, gets the main job only. */
  readonly whole: boolean;
  readonly mainJob: boolean;
  /** Whether it speaks HTTP in a way that no other does; all that dash with wget is there for. */
  readonly download: boolean;
  /** Why it cannot be tested here. */
  readonly skip: string | false;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A folder that goes with this process. */
async function ownFolder(name: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), name));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A folder with nothing but busybox's applets. */
async function busyboxPath(): Promise<string> {
  const dir = await ownFolder('leonore-busybox-');
  execFileSync('busybox', ['--install', '-s', dir]);
  return dir;
}

/** What agent-lite needs, and no curl. */
const TOOLS = `awk cat cmp cp cut date df env find grep gzip head ln ls mkdir mkfifo mv od paste readlink rm sed setsid sha256sum
sh sleep sync tail tar timeout tr uname wc wget chmod`;

/** A folder with nothing but those. */
async function toolPath(): Promise<string> {
  const dir = await ownFolder('leonore-tools-');
  for (const name of TOOLS.split(/\s+/)) await symlink(join('/usr/bin', name), join(dir, name));
  return dir;
}

export async function liteShells(): Promise<LiteShell[]> {
  const busybox = await isThere('/usr/bin/busybox');
  const dash = await isThere('/usr/bin/dash');
  const bash = await isThere('/usr/bin/bash');
  const wget = dash && (await isThere('/usr/bin/wget'));
  const path = busybox ? await busyboxPath() : '';
  return [
    {
      name: 'busybox ash with nothing but busybox',
      program: { call: [join(path, 'ash'), AGENT_LITE], env: { PATH: path } },
      whole: true,
      mainJob: true,
      download: true,
      skip: !busybox && 'busybox is not installed',
    },
    {
      name: 'dash',
      program: { call: ['/usr/bin/dash', AGENT_LITE] },
      whole: true,
      mainJob: true,
      download: true,
      skip: !dash && 'dash is not installed',
    },
    {
      name: 'dash with wget and no curl',
      program: { call: ['/usr/bin/dash', AGENT_LITE], env: { PATH: await toolPath() } },
      whole: false,
      mainJob: false,
      download: true,
      skip: !wget && 'dash or wget is not installed',
    },
    {
      name: 'bash',
      program: { call: ['/usr/bin/bash', AGENT_LITE] },
      whole: false,
      mainJob: true,
      download: false,
      skip: !bash && 'bash is not installed',
    },
  ];
}

/** A test for each of the shells. To be called inside of a `describe`. */
export function inShells(
  shells: readonly LiteShell[],
  title: string,
  test: (program: AgentProgram, t: TestContext) => Promise<void>,
): void {
  for (const { name, program, skip } of shells) it(`${title} (${name})`, { skip }, (t) => test(program, t));
}
