/** The agent: takes tasks and carries them out, whatever happens in between. */
export type { ApplicationUsers } from '../container/mod.ts';
export type { AgentOptions, AgentTuning } from './options.ts';
export { runAgent } from './run-agent.ts';
