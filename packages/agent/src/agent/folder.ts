/** Where everything lies in the agent's one folder. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export interface AgentFolder {
  readonly root: string;
  readonly lock: string;
  readonly identity: string;
  readonly state: string;
  readonly journal: string;
  readonly downloads: string;
  readonly staging: string;
  readonly outbox: string;
  /** Pid files of applications. */
  readonly run: string;
  readonly logs: string;
  readonly tmp: string;
  readonly components: string;
  /** What stands for `/` in install paths. */
  readonly installRoot: string;
  component(name: string): string;
  /** One unpacked version: binary/, control/, component.json. */
  version(name: string, folder: string): string;
  /** Symlink to the version folder that counts. */
  current(name: string): string;
  data(name: string): string;
  log(name: string): string;
}

export function agentFolder(root: string, installRoot?: string): AgentFolder {
  const at = (...parts: string[]): string => join(resolve(root), ...parts);
  return {
    root: resolve(root),
    lock: at('agent.lock'),
    identity: at('identity.json'),
    state: at('state.json'),
    journal: at('journal'),
    downloads: at('downloads'),
    staging: at('staging'),
    outbox: at('outbox'),
    run: at('run'),
    logs: at('logs'),
    tmp: at('tmp'),
    components: at('components'),
    installRoot: installRoot === undefined ? at('rootfs') : resolve(installRoot),
    component: (name) => at('components', name),
    version: (name, folder) => at('components', name, folder),
    current: (name) => at('components', name, 'current'),
    data: (name) => at('data', name),
    log: (name) => at('logs', `${name}.log`),
  };
}

export async function makeFolders(folder: AgentFolder): Promise<void> {
  await mkdir(folder.root, { recursive: true, mode: 0o755 });
  const { downloads, staging, outbox, run, logs, tmp, components, installRoot } = folder;
  for (const path of [downloads, staging, outbox, run, logs, tmp, components, installRoot]) {
    await mkdir(path, { recursive: true });
  }
}
