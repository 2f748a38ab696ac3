/** The note of what runs under a name: makes it quick to find again, and stoppable by its own stop script. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { applicationSchema } from './application.ts';

const pidFileSchema = z.object({
  pid: z.int(),
  startTime: z.string(),
  bootId: z.string(),
  application: applicationSchema,
  /** Milliseconds since 1970. */
  startedAt: z.number().optional(),
  restarts: z.int().optional(),
});
export type PidFile = z.infer<typeof pidFileSchema>;

/** Undefined when there is none or it is broken: it can be done without. */
export async function readPidFile(file: string): Promise<PidFile | undefined> {
  try {
    return pidFileSchema.safeParse(JSON.parse(await readFile(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Only for the agent's user: the environment in it may hold what is nobody else's business. */
export async function writePidFile(file: string, content: PidFile): Promise<void> {
  await writeFile(file, JSON.stringify(content), { mode: 0o600 });
}

export async function removePidFile(file: string): Promise<void> {
  // One that stays names a process that has ended; whoever reads it looks whether it is the same.
  await rm(file, { force: true }).catch(() => undefined);
}
