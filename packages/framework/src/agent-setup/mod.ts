/**
 * Agent setup: what a machine needs to become a gateway, for anybody who asks, as nothing of it is secret: the install
 * script, with this node's address in it, and the files that it puts there. What is in them lies with the agents.
 */
export { type AgentFiles, INSTALL_SCRIPT, registerAgentSetup } from './agent-setup.ts';
