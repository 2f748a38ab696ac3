/** The command line `leonore`: thin commands over the client, and the processes of a node, an agent and the demo. */
export { main } from './main.ts';
export type { Terminal } from './terminal.ts';
export { processTerminal } from './terminal.ts';
