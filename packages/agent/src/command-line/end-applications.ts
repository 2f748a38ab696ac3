/**
 * Ends the applications that an agent has started. By design they outlive it, which on a real gateway is what one wants;
 * a demo shall leave nothing behind. They are known by their environment, which names a data folder below the agent's.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Ends them with SIGTERM, after `graceMs` with SIGKILL. Fulfilled when none is left. */
export async function endApplications(folder: string, graceMs = 2000): Promise<void> {
  const until = performance.now() + graceMs;
  let pids = await findApplications(folder);
  for (const pid of pids) send(pid, 'SIGTERM');
  while (pids.length > 0) {
    await delay(20);
    pids = await findApplications(folder);
    if (performance.now() > until) for (const pid of pids) send(pid, 'SIGKILL');
  }
}

/** Linux only, as the agent is. */
export async function findApplications(folder: string): Promise<number[]> {
  const prefix = `LEONORE_DATA_DIR=${resolve(folder)}${sep}`;
  const names = await readdir('/proc').catch(() => []);
  const found = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        const environ = await readFile(join('/proc', name, 'environ'), 'latin1').catch(() => '');
        return environ.split('\0').some((entry) => entry.startsWith(prefix)) ? Number(name) : undefined;
      }),
  );
  return found.filter((pid) => pid !== undefined && pid !== process.pid) as number[];
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone in the meantime.
  }
}
