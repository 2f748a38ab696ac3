/**
 * For tests: a gateway as leonore.sh finds it, without SWUpdate: archives are unpacked where sw-description says, then the
 * script is called as SWUpdate's shellscript handler calls it. What it started is ended with it.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { artifactNameSchema } from '@leonore/protocol';
import { waitFor } from '@leonore/testkit';
import { buildFolder, renderInstallScript } from '../install-script.ts';
import type { PackedComponent } from './components.ts';

export interface Outcome {
  readonly code: number;
  readonly said: string;
  /** What SWUpdate reports as errors. */
  readonly errors: string;
}

export interface ScriptGateway extends AsyncDisposable {
  readonly dir: string;
  readonly root: string;
  /** As SWUpdate does it: unpack, preinst, postinst. */
  install(wanted: {
    components?: readonly PackedComponent[];
    keep?: readonly { name: string; version: string }[];
    remove?: readonly { name: string; version: string }[];
    /** Between unpacking and the script. */
    meddle?: () => Promise<void>;
    /** SIGKILL to everything of the script when this file is there. */
    cutPowerAt?: string;
  }): Promise<Outcome>;
  /** `ROOT/leonore.sh ARGS`. */
  call(...args: string[]): Promise<Outcome>;
  /** What the test's control scripts have noted, a line each. */
  log(): Promise<string[]>;
  forget(): Promise<void>;
}

const ENGINE = fileURLToPath(new URL('../leonore.sh', import.meta.url));

export async function scriptGateway(shell: readonly [string, ...string[]]): Promise<ScriptGateway> {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-swu-'));
  const root = join(dir, 'root');
  const noted = join(dir, 'log');
  const engine = await readFile(ENGINE, 'utf8');
  const [command, ...first] = shell;
  let count = 0;

  const run = (program: string, args: readonly string[]): Promise<Outcome> =>
    new Promise((resolve) => {
      const child = execFile(program, args, { encoding: 'utf8', timeout: 60_000 }, (_error, said, errors) =>
        resolve({ code: child.exitCode ?? -1, said, errors }),
      );
    });
  const call = (script: string, args: readonly string[]) => run(command, [...first, script, ...args]);

  return {
    dir,
    root,
    async install({ components = [], keep = [], remove = [], meddle, cutPowerAt }) {
      for (const component of components) {
        const path = join(root, 'components', component.step.name, buildFolder(component));
        await mkdir(path, { recursive: true });
        const { code, errors } = await run('tar', ['-xzf', component.file, '-C', path]);
        if (code !== 0) throw new Error(errors);
      }
      await meddle?.();
      const named = <T extends { name: string }>(all: readonly T[]) =>
        all.map((one) => ({ ...one, name: artifactNameSchema.parse(one.name), requested: true, after: [] }));
      const script = join(dir, `script-${++count}.sh`);
      const id = `p-${'0'.repeat(31)}${count % 10}`;
      const text = renderInstallScript(engine, { id, root, components, keep: named(keep), remove: named(remove) });
      await writeFile(script, text);
      const before = await call(script, ['preinst']);
      if (before.code !== 0) return before;
      return cutPowerAt === undefined ? call(script, ['postinst']) : cut(script, cutPowerAt);
    },
    call: (...args) => call(join(root, 'leonore.sh'), args),
    log: async () => (await readFile(noted, 'utf8').catch(() => '')).split('\n').filter(Boolean),
    forget: () => rm(noted, { force: true }),
    async [Symbol.asyncDispose]() {
      const { said } = await call(join(root, 'leonore.sh'), ['status']);
      const names = said.split('\n').flatMap((line) => line.split(' ')[0] || []);
      for (const name of names.toReversed()) await call(join(root, 'leonore.sh'), ['stop', name]);
      await rm(dir, { recursive: true, force: true });
    },
  };

  /** The gateway loses power while it runs the script: everything of it ends at once. */
  async function cut(script: string, when: string): Promise<Outcome> {
    const child = spawn(command, [...first, script, 'postinst'], { detached: true, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await waitFor(`the script to reach ${when}`, () =>
      readFile(when).catch(() => child.exitCode !== null && Buffer.of()),
    );
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended;
    return { code: -1, said: '', errors: '' };
  }
}
