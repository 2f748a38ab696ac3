/**
 * Where components may appear in the gateway's file system: below folders that are there for applications, beside each
 * other, and out of the agent's own way. Pure; what lies at a path already is looked at when it is taken (perform.ts).
 */
import { dirname, join } from 'node:path';
import type { Plan } from './plan.ts';

/** Folders that are there for what no package manager of the system looks after (FHS 3.0). */
export const APPLICATION_FOLDERS: readonly string[] = ['/opt', '/srv', '/usr/local', '/var/lib', '/var/opt'];

export interface InstallPathRules {
  /** Absolute, without a slash at the end; `/` for everything. */
  readonly allowed: readonly string[];
  /** The agent's own folder. */
  readonly root: string;
  /** What stands for `/` in install paths. */
  readonly installRoot: string;
}

/** Why the install paths that the plan brings cannot be had, in words; undefined when they can. */
export function installPathFault({ before, after }: Pick<Plan, 'before' | 'after'>, rules: InstallPathRules) {
  const entries = Object.values(after);
  for (const { name, folder, installPath: path } of entries) {
    if (path === undefined || before[name]?.folder === folder) continue;
    if (!rules.allowed.some((allowed) => isBelow(path, allowed))) {
      return `${name} wants to be at ${path}, but applications of this gateway may only be below ${rules.allowed.join(', ')}; let the artifact use another installPath, or start the agent with --allow-install-path ${dirname(path)}`;
    }
    if (isAgents(join(rules.installRoot, path), rules)) {
      return `${name} wants to be at ${path}, where the agent's own folder is; let the artifact use another installPath`;
    }
    for (const other of entries) {
      if (other.name === name || other.installPath === undefined) continue;
      if (other.installPath === path) return `${name} and ${other.name} both want to be at ${path}`;
      if (isBelow(path, other.installPath) || isBelow(other.installPath, path)) {
        return `${name} wants to be at ${path} and ${other.name} at ${other.installPath}: one lies inside the other`;
      }
    }
  }
  return undefined;
}

function isAgents(path: string, { root, installRoot }: InstallPathRules): boolean {
  if (path === root || isBelow(root, path)) return true;
  return isBelow(path, root) && !isBelow(installRoot, root);
}

/** Strictly. */
function isBelow(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
