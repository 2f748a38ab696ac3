/** Runs a tool of the gateway to its end. */
import { execFile } from 'node:child_process';

const TIMEOUT_MS = 60_000;

/** `code` null when it could not be executed, or was killed after its time. */
export function commandOutput(
  command: string,
  args: readonly string[],
  timeoutMs = TIMEOUT_MS,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 65_536 } as const;
    execFile(command, [...args], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : null) : 0;
      resolve({ code, output: `${stdout}${stderr}` });
    });
  });
}
