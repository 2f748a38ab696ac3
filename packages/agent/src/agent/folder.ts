/** Where everything lies in the agent's one folder. */
import { join, resolve } from 'node:path';
import { ensureFolder } from '../container/mod.ts';

export interface AgentFolder {
  readonly root: string;
  readonly identity: string;
  readonly state: string;
  /** What the server was told of this gateway. */
  readonly profile: string;
  /** Scripts and files of the gateway's owner, which say facts. */
  readonly facts: string;
  readonly journal: string;
  /** What agents and their launcher leave each other, see agent-trial.ts. */
  readonly agentTrial: string;
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
  /** One unpacked version: binary/, control/, layout.json, component.json. */
  version(name: string, folder: string): string;
  /** Symlink to the version folder that counts. */
  current(name: string): string;
  data(name: string): string;
  tmpOf(name: string): string;
  log(name: string): string;
}

export function agentFolder(root: string, installRoot?: string): AgentFolder {
  const at = (...parts: string[]): string => join(resolve(root), ...parts);
  return {
    root: resolve(root),
    identity: at('identity.json'),
    state: at('state.json'),
    profile: at('profile.json'),
    facts: at('facts.d'),
    journal: at('journal'),
    agentTrial: at('agent-trial'),
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
    tmpOf: (name) => at('tmp', name),
    log: (name) => at('logs', `${name}.log`),
  };
}

export async function makeFolders(folder: AgentFolder): Promise<void> {
  await ensureFolder(folder.root, { mode: 0o755 });
  const { downloads, staging, outbox, run, logs, tmp, components, installRoot } = folder;
  // Applications with users of their own have no business in these.
  for (const path of [downloads, staging, outbox, run, logs]) await ensureFolder(path, { mode: 0o750 });
  for (const path of [tmp, components, installRoot]) await ensureFolder(path);
}
