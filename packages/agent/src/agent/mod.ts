/** The agent: takes tasks and carries them out, whatever happens in between. */
export type { ApplicationUsers } from '../container/mod.ts';
export { type Launcher, launcherFrom, RESTART_EXIT_CODE } from './launcher.ts';
export type { AgentOptions, AgentTuning } from './options.ts';
export { type AgentEnd, runAgent } from './run-agent.ts';
