/**
 * Why a package that is sound in itself must not be installed here: what its manifest asks for, this gateway does not give.
 * Looked at as soon as the header is here, before the rest is paid for. Pure.
 */
import { CONTROL_SCRIPTS, type PackageComponent, type PackageManifest } from '@leonore/protocol';
import { type InstallPathRules, installPathFault } from './install-paths.ts';
import type { Plan } from './plan.ts';

/** In words; undefined when it may be installed. */
export function packageFault(manifest: PackageManifest, plan: Plan, rules: InstallPathRules): string | undefined {
  for (const component of manifest.components) {
    const fault = controlFault(component);
    if (fault !== undefined) return fault;
  }
  return installPathFault(plan, rules);
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
