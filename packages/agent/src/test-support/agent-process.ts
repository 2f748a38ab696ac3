/** An agent as a process of its own: its options come as JSON in the first argument. */
import { type AgentOptions, runAgent } from '../agent/mod.ts';
import { silentLogger } from '../connectivity/mod.ts';

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort(new Error('SIGTERM')));
const options = JSON.parse(process.argv[2] ?? '{}') as Omit<AgentOptions, 'logger'>;
await runAgent({ ...options, logger: silentLogger }, stopping.signal);
