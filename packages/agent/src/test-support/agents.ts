/** Agents for tests: inside this process, or as one of their own that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentEnd, AgentOptions, AgentTuning } from '../agent/mod.ts';
import { runAgent } from '../agent/mod.ts';
import { silentLogger } from '../connectivity/mod.ts';
import { terminate } from '../container/mod.ts';
import { type FakeServer, TOKEN } from './fake-server.ts';

export const QUICK: AgentTuning = {
  container: { initialMs: 50, maxMs: 200, settleMs: 200, tickMs: 50, scriptMs: 5000 },
  retry: { initialMs: 20, maxMs: 100 },
  profileCheckMs: 100,
  probes: [],
};

export function agentOptions(server: FakeServer, root: string, change: Partial<AgentOptions> = {}): AgentOptions {
  return {
    server: server.url,
    id: 'gw-1',
    root,
    token: TOKEN,
    strategy: 'pull',
    pollIntervalMs: 50,
    logger: silentLogger,
    ...change,
    tuning: { ...QUICK, ...change.tuning },
  };
}

export interface RunningAgent extends AsyncDisposable {
  /** Fulfilled or rejected with the agent. */
  readonly ended: Promise<AgentEnd>;
  stop(): Promise<void>;
}

/** Stopped at the end of its block; its applications are left alone, use `endApplications` for them. */
export function startAgent(options: AgentOptions): RunningAgent {
  const stopping = new AbortController();
  const ended = runAgent(options, stopping.signal);
  ended.catch(() => undefined);
  const stop = async (): Promise<void> => {
    stopping.abort(new Error('the test stops the agent'));
    await ended.catch(() => undefined);
  };
  return { ended, stop, [Symbol.asyncDispose]: stop };
}

/** The same in a process of its own. */
export function startAgentProcess(options: Omit<AgentOptions, 'logger'>): ChildProcess {
  const { logger: _logger, ...rest } = options as AgentOptions;
  const program = join(import.meta.dirname, 'agent-process.ts');
  return spawn(process.execPath, [program, JSON.stringify(rest)], { stdio: ['ignore', 'ignore', 'inherit'] });
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Ends whatever runs out of that root. */
export function applicationsOf(root: string): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      for (const name of await readdir(join(root, 'data')).catch(() => [])) {
        await terminate(join(root, 'data', name), { graceMs: 0 });
      }
    },
  };
}
