/** What a process of this machine costs, read from Linux's /proc. */
import { readFile, writeFile } from 'node:fs/promises';

export interface ProcessUsage {
  /** User and system time since its start, seconds. */
  readonly cpuSeconds: number;
  /** Resident memory now and at its highest, bytes. */
  readonly rssBytes: number;
  readonly peakRssBytes: number;
}

/** The kernel's USER_HZ, fixed for what it tells programs (proc(5)). */
const TICKS_PER_SECOND = 100;

/** The process and those it started itself, together. Undefined when there is no such process or no /proc. */
export async function familyUsage(pid: number): Promise<ProcessUsage | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const usages = await Promise.all([pid, ...children.split(' ').filter(Boolean).map(Number)].map(processUsage));
  return usages.reduce((sum, one) => {
    if (!sum || !one) return sum ?? one;
    return {
      cpuSeconds: sum.cpuSeconds + one.cpuSeconds,
      rssBytes: sum.rssBytes + one.rssBytes,
      peakRssBytes: sum.peakRssBytes + one.peakRssBytes,
    };
  });
}

/** Undefined when there is no such process or no /proc. */
export async function processUsage(pid: number): Promise<ProcessUsage | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    // proc(5): fields 14 and 15, counted after the command's name, which may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const kibibytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      rssBytes: kibibytes('VmRSS') * 1024,
      peakRssBytes: kibibytes('VmHWM') * 1024,
    };
  } catch {
    return undefined;
  }
}

/** Lets the highest memory of a process count from now on (proc(5), clear_refs); where that is not allowed it stays. */
export async function resetPeakMemory(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}
