/**
 * Why a package that is sound in itself must not be installed here: what its manifest asks for, this gateway does not give.
 * Looked at as soon as the header is here, before the rest is paid for. Pure.
 */
import { CONTROL_SCRIPTS, type PackageComponent, type PackageManifest } from '@leonore/protocol';
import { type InstallPathRules, installPathFault } from './install-paths.ts';
import { AGENT_COMPONENT, AGENT_FILE } from './launcher.ts';
import { handOverAt, type Plan } from './plan.ts';

/** In words; undefined when it may be installed. */
export function packageFault(
  manifest: PackageManifest,
  plan: Plan,
  rules: InstallPathRules & {
    /** There is one that goes back when another agent fails. */
    readonly hasLauncher: boolean;
  },
): string | undefined {
  const agentsFault = agentFault(manifest, plan, rules.hasLauncher);
  if (agentsFault !== undefined) return agentsFault;
  for (const component of manifest.components) {
    const fault = controlFault(component);
    if (fault !== undefined) return fault;
  }
  return installPathFault(plan, rules);
}

/** What would change the agent itself must be one, and something must be there to go back when it is none. */
function agentFault({ components }: PackageManifest, plan: Plan, hasLauncher: boolean): string | undefined {
  const agent = components.find(({ name }) => name === AGENT_COMPONENT);
  if (agent?.run) return `${AGENT_COMPONENT} is the agent itself and is not run as an application; leave out "run"`;
  const file = `binary/${AGENT_COMPONENT}/${AGENT_FILE}`;
  if (agent && !agent.files.some(({ path }) => path === file)) {
    return `${AGENT_COMPONENT} ${agent.version} is to be the agent, but has no binary/${AGENT_FILE}`;
  }
  if (hasLauncher || handOverAt(plan) < 0) return undefined;
  return 'it changes the agent itself, and this one was not started by its launcher, which goes back when another one fails; start it with setup/leonore-agent (docs/self-update.md)';
}

/** A publisher's tools see to this; a server that composes by itself may not have. */
function controlFault({ name, version, run, files }: PackageComponent): string | undefined {
  const what = `${name} ${version}`;
  const folder = `control/${name}/`;
  for (const { path, mode } of files) {
    if (!path.startsWith(folder)) continue;
    const script = path.slice(folder.length);
    if (!CONTROL_SCRIPTS.some((known) => known === script)) {
      return `${what} has control/${script}, which is no control script; they are ${CONTROL_SCRIPTS.join(', ')}`;
    }
    if (mode !== 0o755) return `control/${script} of ${what} is not executable`;
  }
  if (run && !files.some(({ path }) => path === `${folder}start`)) {
    return `${what} is to be run, but has no control/start`;
  }
  return undefined;
}
