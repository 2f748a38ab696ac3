/** Command line: the agent's options as data, what they mean, and the agent's own program. */
export type { Given } from './config-file.ts';
export { endApplications, findApplications } from './end-applications.ts';
export { AGENT_OPTION_LIST, agentExamples, describeOption, isSwitch } from './options.ts';
export { runFromFlags } from './run-from-flags.ts';
