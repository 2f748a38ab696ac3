/** Finding what runs already, and seeing that it ends: the same for all executors, as all leave the mark in /proc. */
import type { PidFile } from '../pid-file.ts';
import { bootId, findMarked, type ProcessInfo, readProcess, terminate, userOf } from '../process-table.ts';
import type { Ending, Running, Workload } from './executor.ts';

/** Milliseconds that another build has to end, when it is found in place of this one. */
const OTHER_BUILD_MS = 1000;

export async function findRunning(
  workload: Workload,
  known: PidFile | undefined,
): Promise<Pick<Running, 'pid' | 'startTime' | 'user'> | undefined> {
  const { application, user } = workload;
  const started = (await findMarked(application.dataDir, user)).filter(({ script }) => script === 'start');
  const fits = started.filter(({ binaryDir }) => binaryDir === application.binaryDir);
  const leader = (await provenBy(known, application.binaryDir)) ?? fits.find(({ pid, group }) => pid === group);
  if (started.length > 0 && !leader) {
    const only = ({ script }: { script: string | undefined }): boolean => script === 'start';
    await terminate(application.dataDir, { graceMs: OTHER_BUILD_MS, only, user });
  }
  if (!leader) return undefined;
  const { pid, startTime } = leader;
  return { pid, startTime, user: (await userOf(pid)) === user ? user : undefined };
}

/** What the note says, if that is still the same process: its environment cannot be read while it executes another program. */
async function provenBy(known: PidFile | undefined, binaryDir: string): Promise<ProcessInfo | undefined> {
  if (known?.application.binaryDir !== binaryDir || known.bootId !== (await bootId())) return undefined;
  const found = await readProcess(known.pid);
  return found?.startTime === known.startTime ? found : undefined;
}

/** For the same reason: the one that is known goes with those that are found. */
export async function stillThere(running: Running | undefined): Promise<number[]> {
  const found = running && (await readProcess(running.pid));
  return found?.startTime === running?.startTime && found ? [found.pid] : [];
}

/** The end of a process that is nobody's child here. `ending`: how it ended, asked when it is gone. */
export function watchProcess(
  { pid, startTime }: Pick<ProcessInfo, 'pid' | 'startTime'>,
  ending: () => Promise<Ending> = () => Promise.resolve({ code: null, signal: null }),
): { readonly ended: Promise<Ending>; look(): Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<Ending>();
  let gone = false;
  return {
    ended: promise,
    async look() {
      if (gone || (await readProcess(pid))?.startTime === startTime) return;
      gone = true;
      resolve(await ending());
    },
  };
}
