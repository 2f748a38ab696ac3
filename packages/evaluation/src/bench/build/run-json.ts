/** Runs one of the benchmark's own programs in a process of its own, so that its memory is its own, and reads its answer. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const MAX_ANSWER_BYTES = 64 * 2 ** 20;

/** `T` is what the program of the same commit writes: one JSON value on standard output. */
export async function runJson<T>(script: string, args: readonly string[], signal: AbortSignal): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], {
    signal,
    maxBuffer: MAX_ANSWER_BYTES,
  });
  return JSON.parse(stdout) as T;
}
