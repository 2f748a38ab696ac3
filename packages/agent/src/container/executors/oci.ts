/**
 * Runs an application in a root file system that its package brings, by an OCI runtime (runc or crun) that the gateway
 * has. The runtime stays as the application's parent: it writes the log and tells the exit code.
 */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';
import type { RunnableApplication } from '../application.ts';
import { readProcess, terminate } from '../process-table.ts';
import { findRunning, stillThere, watchProcess } from './adoption.ts';
import { askedLimits, type Availability, type Executor } from './executor.ts';
import { HOST_FILES, ociConfig, ociProcess, rootfsOf } from './oci-config.ts';
import { endOf, spawnApplication } from './process.ts';
import { commandOutput } from './command.ts';
import { unpackRootfs } from './rootfs.ts';

export interface OciOptions {
  /** For bundles and the runtime's state. */
  readonly dir: string;
  /** Tells the applications of two agents on one machine apart; also the name of their group of cgroups. */
  readonly group: string;
}

interface Runtime {
  readonly command: string;
  readonly version: string;
}

export function createOciExecutor({ dir, group }: OciOptions): Executor {
  const state = join(dir, 'state');
  const idOf = (name: string): string => `${group}-${name}`;
  const bundleOf = (name: string): string => join(dir, 'bundles', name);
  let found: Promise<Runtime | string> | undefined;
  const runtime = async (): Promise<Runtime> => {
    const here = await (found ??= findRuntime());
    if (typeof here === 'string') throw new LeonoreError('agent.unsupported', here);
    return here;
  };
  /** Also of one that is there only in name. */
  const forget = async (name: string): Promise<void> => {
    await commandOutput((await runtime()).command, ['--root', state, 'delete', '--force', idOf(name)]);
  };

  return {
    name: 'oci',
    async available(): Promise<Availability> {
      const here = await (found ??= findRuntime());
      return typeof here === 'string' ? { available: false, why: here } : { available: true, version: here.version };
    },
    async prepare(application) {
      await unpackOnce(application);
    },
    async launch(workload) {
      const { application, user } = workload;
      const { name } = application;
      const { command } = await runtime();
      await unpackOnce(application);
      const bundle = bundleOf(name);
      await mkdir(bundle, { recursive: true, mode: 0o700 });
      const hostFiles = await Promise.all(HOST_FILES.map(async (file) => ((await exists(file)) ? [file] : [])));
      const config = ociConfig(application, user, { cgroup: `/${group}/${name}`, hostFiles: hostFiles.flat() });
      await writeFile(join(bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 });
      await forget(name);
      const { child, pid } = await spawnApplication(workload, {
        file: command,
        // The kernel keeps few keyrings for each user, and nothing here uses one.
        args: ['--root', state, 'run', '--no-new-keyring', '--bundle', bundle, idOf(name)],
        user: undefined,
      });
      const startTime = (await readProcess(pid))?.startTime ?? '';
      const limits = askedLimits('cgroup', application.run);
      return { pid, startTime, user, limits, ended: endOf(child), look: () => Promise.resolve() };
    },
    async adopt(workload, known) {
      const running = await findRunning(workload, known);
      const limits = askedLimits('cgroup', workload.application.run);
      // The process that was found is the runtime, which is root whoever the application is.
      return running && { ...running, user: workload.user, limits, ...watchProcess(running) };
    },
    async end({ application, user }, graceMs, running) {
      const only = ({ script }: { script: string | undefined }): boolean => script === 'start';
      await terminate(application.dataDir, { graceMs, user, only, also: () => stillThere(running) });
      await forget(application.name);
    },
    async inside({ application, user }, script) {
      const file = join(bundleOf(application.name), `${script}.json`);
      await writeFile(file, JSON.stringify(ociProcess(application, user, script)), { mode: 0o600 });
      const args = ['--root', state, 'exec', '--process', file, idOf(application.name)];
      return { call: { file: (await runtime()).command, args } };
    },
  };
}

/** In words when there is none. runc comes first: crun does not know machines with both versions of cgroups. */
export async function findRuntime(commands: readonly string[] = ['runc', 'crun']): Promise<Runtime | string> {
  if (process.getuid?.() !== 0) return 'executor: oci takes an agent that is root';
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const hybrid = / - cgroup /.test(mounts) && / - cgroup2 /.test(mounts);
  for (const command of commands.filter((one) => one !== 'crun' || !hybrid)) {
    const said = await commandOutput(command, ['--version']);
    const version = said.code === 0 ? /version (\d+(?:\.\d+)*)/.exec(said.output)?.[1] : undefined;
    if (version !== undefined) return { command, version };
  }
  return 'executor: oci takes runc or crun on the gateway, and there is none that works here';
}

async function unpackOnce(application: RunnableApplication): Promise<void> {
  const target = rootfsOf(application);
  if (await exists(target)) return;
  const tar = join(application.binaryDir, application.run.oci?.rootfs ?? 'rootfs.tar');
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  await unpackRootfs(tar, partial, target);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
