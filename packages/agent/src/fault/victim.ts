/** The agent as a process of its own, to be killed: options come as JSON in the first argument, its log goes to stdout as JSON lines. */
import { type AgentOptions, runAgent } from '../agent/mod.ts';
import type { Logger } from '../connectivity/mod.ts';

const say =
  (level: string) =>
  (message: string, facts: Record<string, unknown> = {}): void =>
    void process.stdout.write(`${JSON.stringify({ level, message, ...facts })}\n`);
const logger: Logger = { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') };

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort(new Error('SIGTERM')));
const options = JSON.parse(process.argv[2] ?? '{}') as Omit<AgentOptions, 'logger'>;
await runAgent({ ...options, logger }, stopping.signal);
