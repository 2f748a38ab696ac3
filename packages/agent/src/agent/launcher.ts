/**
 * How the agent and its launcher (setup/leonore-agent) know each other. The launcher is what the machine starts; it runs
 * the agent that is installed as the component `leonore-agent`, or the one that came with the gateway, and tries a new one.
 */
import { resolve } from 'node:path';

/** The component that is the agent itself. */
export const AGENT_COMPONENT = 'leonore-agent';
/** In its `binary/`: what the launcher runs. */
export const AGENT_FILE = 'leonore-agent.js';
/** For the launcher, in place of a version folder: the agent that the gateway came with. */
export const SEED = 'seed';
/** How the agent ends when the launcher is to look again what to run. EX_TEMPFAIL of sysexits.h. */
export const RESTART_EXIT_CODE = 75;
/** In profiles: agents of this gateway can be changed, by version 1 of what agent and launcher agreed upon. */
export const SELF_UPDATE_CAPABILITY = { 'leonore.self-update': '1' } as const;

export interface Launcher {
  /** The version folder (or SEED) that is on trial, when this process is that. */
  readonly trial?: string;
}

/** Undefined when this process was not started by the launcher for this root. */
export function launcherFrom(env: Readonly<Record<string, string | undefined>>, root: string): Launcher | undefined {
  const { LEONORE_LAUNCHER: version, LEONORE_LAUNCHER_ROOT: itsRoot, LEONORE_TRIAL: trial } = env;
  if (version !== '1' || itsRoot === undefined || resolve(itsRoot) !== resolve(root)) return undefined;
  return trial ? { trial } : {};
}
