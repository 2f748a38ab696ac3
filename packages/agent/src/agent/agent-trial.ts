/**
 * The trial of another agent: plain files that agents and the launcher leave each other, in ROOT/agent-trial.
 *
 *   order    `try FOLDER end`: by the old agent before it hands over. While it is there, whole, and `failed` is not, the
 *            launcher runs that version, else the one that `components/leonore-agent/current` leads to, which is the old one
 *            until the new one was heard by the server. So whatever is lost of these files, the old one runs.
 *   begun    a line for each start on trial, `log` what the new one wrote to stderr last: by the launcher
 *   failed   why the trial is over: by the launcher
 *
 * What two versions of the agent have in common for the time of a trial, and every later one keeps:
 *
 *   I. The journal's first line (`begin`, with the steps that plan.ts knows today) is understood by the new one. It appends
 *      `step` and `committed`, nothing else, and the latter only behind the step that makes `current` lead to it.
 *   II. Of state.json it writes nothing before `committed`. What it adds there is optional, and an older one drops it.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lastLines } from '../container/mod.ts';
import { replaceFile, syncFolder } from './durable-file.ts';
import { SEED } from './launcher.ts';

export interface AgentTrial {
  /** Fulfilled when the order is on the disk. `version`: the folder, null for the agent that came with the gateway. */
  order(version: string | null): Promise<void>;
  /** Why the launcher gave it up, and what the new agent said last; undefined when it did not. */
  failure(): Promise<{ readonly why: string; readonly log: readonly string[] } | undefined>;
  /** There is no trial any more. */
  clear(): Promise<void>;
}

const MAX_LOG_LINES = 20;

export function createAgentTrial(folder: string): AgentTrial {
  const at = (name: string): string => join(folder, name);
  const clear = async (): Promise<void> => {
    // The order first: what else is there means nothing without it.
    for (const name of ['order', 'failed', 'begun', 'log']) await rm(at(name), { force: true });
    await rm(folder, { recursive: true, force: true });
  };
  return {
    clear,
    async order(version) {
      await clear();
      try {
        await mkdir(folder, { recursive: true, mode: 0o750 });
        await syncFolder(dirname(folder));
        await replaceFile(at('order'), `try ${version ?? SEED} end\n`, 0o600);
        await syncFolder(folder);
      } catch (error) {
        await clear().catch(() => undefined);
        throw error;
      }
    },
    async failure() {
      const why = await readFile(at('failed'), 'utf8').catch(() => undefined);
      if (why === undefined) return undefined;
      return { why: why.trim() || 'it did not report in', log: await lastLines(at('log'), MAX_LOG_LINES) };
    },
  };
}
