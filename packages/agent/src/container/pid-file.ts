/** The note of what runs under a name: makes it quick to find again, and stoppable by its own stop script. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { applicationSchema } from './application.ts';

const pidFileSchema = z.object({
  pid: z.int(),
  startTime: z.string(),
  bootId: z.string(),
  application: applicationSchema,
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

export async function writePidFile(file: string, content: PidFile): Promise<void> {
  await writeFile(file, JSON.stringify(content));
}

export async function removePidFile(file: string): Promise<void> {
  await rm(file, { force: true });
}
