/**
 * Runs a control script to its end: own process group, clear environment, a time limit after which it is killed with all
 * that came of it, output taken in but only its end kept.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { type ControlScript, LeonoreError } from '@leonore/protocol';
import { type Application, scriptEnvironment } from './application.ts';
import { tailLines } from './log-file.ts';
import { terminate } from './process-table.ts';

export type ScriptResult =
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'ended'; readonly exitCode: number; readonly output: string }
  | { readonly outcome: 'killed'; readonly signal: string; readonly output: string }
  | { readonly outcome: 'timeout'; readonly output: string };

/** What is executed in place of the script itself. */
export interface ScriptCall {
  readonly file: string;
  readonly args: readonly string[];
}
export interface ScriptOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** User and group id; undefined: the agent's. */
  readonly user?: number | undefined;
  readonly call?: ScriptCall | undefined;
}

/** Output kept of a script, bytes; and of it in a report, lines. */
const MAX_OUTPUT = 64 * 1024;
const REPORTED_LINES = 20;

export async function hasScript(application: Application, script: ControlScript): Promise<boolean> {
  return access(join(application.controlDir, script), constants.F_OK).then(
    () => true,
    () => false,
  );
}

/** @throws the signal's reason when aborted (the script is killed); LeonoreError when it cannot be executed. */
export async function runScript(
  application: Application,
  script: ControlScript,
  options: ScriptOptions,
): Promise<ScriptResult> {
  if (!(await hasScript(application, script))) return { outcome: 'absent' };
  options.signal?.throwIfAborted();
  try {
    const result = await execute(application, script, options);
    // Health is asked too often to look for what a good one may have left; `sweep` does in time.
    const well = result.outcome === 'ended' && result.exitCode === 0;
    if (script !== 'health' || !well) await endLeftovers(application, script);
    return result;
  } catch (error) {
    if (options.signal?.aborted) await endLeftovers(application, script);
    throw error;
  }
}

/** What has left the script's group. */
async function endLeftovers({ dataDir }: Application, script: ControlScript): Promise<void> {
  await terminate(dataDir, { graceMs: 0, only: (found) => found.script === script });
}

function execute(application: Application, script: ControlScript, options: ScriptOptions): Promise<ScriptResult> {
  const { call = { file: join(application.controlDir, script), args: [] }, user } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(call.file, [...call.args], {
      cwd: application.binaryDir,
      env: scriptEnvironment(application, script),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    let kept = Buffer.alloc(0);
    const keep = (chunk: Buffer): void => {
      kept = Buffer.concat([kept, chunk]).subarray(-MAX_OUTPUT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);

    let timedOut = false;
    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nobody is left in it.
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, options.timeoutMs);
    options.signal?.addEventListener('abort', killGroup, { once: true });
    const tidy = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', killGroup);
    };

    child.on('error', (error) => {
      tidy();
      reject(
        new LeonoreError('agent.script-failed', `control/${script} cannot be executed: ${error.message}`, {
          cause: error,
        }),
      );
    });
    child.on('exit', (code, signal) => {
      tidy();
      // What it has left running would hold the pipes open, and belongs to nobody.
      killGroup();
      setImmediate(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      });
      child.once('close', () => {
        const output = kept.toString('utf8');
        if (options.signal?.aborted) reject(options.signal.reason);
        else if (timedOut) resolve({ outcome: 'timeout', output });
        else if (code !== null) resolve({ outcome: 'ended', exitCode: code, output });
        else resolve({ outcome: 'killed', signal: signal ?? 'SIGKILL', output });
      });
    });
  });
}

/** What a result that is not success says to people; undefined for success and for a script that is not there. */
export function scriptFault(script: ControlScript, result: ScriptResult, timeoutMs: number): string | undefined {
  switch (result.outcome) {
    case 'absent':
      return undefined;
    case 'ended':
      return result.exitCode === 0 ? undefined : `control/${script} ended with exit code ${result.exitCode}`;
    case 'killed':
      return `control/${script} was killed by ${result.signal}`;
    case 'timeout':
      return `control/${script} was killed: it did not end within ${Math.round(timeoutMs / 100) / 10} s`;
    default:
      return result satisfies never;
  }
}

/** For machines. */
export function endingOf(result: ScriptResult): { exitCode?: number; signal?: string } {
  if (result.outcome === 'ended') return { exitCode: result.exitCode };
  return result.outcome === 'killed' ? { signal: result.signal } : {};
}

/** @throws LeonoreError `agent.script-failed` with the last lines it said in `details.output`. */
export function requireSuccess(script: ControlScript, result: ScriptResult, timeoutMs: number): void {
  const fault = scriptFault(script, result, timeoutMs);
  if (fault === undefined) return;
  const output = result.outcome === 'absent' ? [] : tailLines(result.output, REPORTED_LINES);
  throw new LeonoreError('agent.script-failed', fault, {
    details: { script, output, ...endingOf(result) },
  });
}
