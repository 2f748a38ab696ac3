/** The executors there are, by name. What of them the machine can do is found out when it is asked for. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ExecutorName } from '@leonore/protocol';
import { findCgroupPlace, openCgroups } from '../cgroup.ts';
import { createLimiter } from '../limits.ts';
import type { Executor } from './executor.ts';
import { createOciExecutor } from './oci.ts';
import { createProcessExecutor } from './process.ts';
import { createSystemdExecutor } from './systemd.ts';

/** `runDir`: where they note what they must know after the agent has started again. */
export function createExecutors(runDir: string): Readonly<Record<ExecutorName, Executor>> {
  const group = groupOf(runDir);
  const root = process.getuid?.() === 0;
  const limiter = createLimiter(async () => {
    const place = await findCgroupPlace();
    return place && openCgroups(place, group, root);
  });
  return {
    process: createProcessExecutor({ limiter }),
    systemd: createSystemdExecutor({ dir: join(runDir, '.systemd'), group }),
    oci: createOciExecutor({ dir: join(runDir, '.oci'), group }),
  };
}

/** Names what belongs to this agent among what is of the whole machine: units, cgroups, OCI containers. */
function groupOf(runDir: string): string {
  return `leonore-${createHash('sha256').update(runDir).digest('hex').slice(0, 8)}`;
}

/** What a gateway can run beside plain processes, as capabilities of its profile: `{ 'executor-oci': '1.1.5' }`. */
export async function executorCapabilities(runDir: string): Promise<Record<string, string>> {
  const found = await Promise.all(
    Object.values(createExecutors(runDir)).map(async ({ name, available }) => {
      const here = await available();
      return here.available && name !== 'process' ? [[`executor-${name}`, here.version] as const] : [];
    }),
  );
  return Object.fromEntries(found.flat());
}
