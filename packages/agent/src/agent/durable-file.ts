/**
 * JSON files that survive a power cut at any moment: written aside, flushed, moved into place, and the previous copy is
 * kept as FILE.bak. A reader takes the newest copy that can be read, so a torn or zeroed file heals.
 */
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';

/** Fulfilled when `value` is on the disk for good. */
export async function writeDurable(file: string, value: unknown, mode = 0o600): Promise<void> {
  const aside = `${file}.tmp`;
  const handle = await open(aside, 'w', mode);
  try {
    await handle.writeFile(`${JSON.stringify(value, null, 1)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rm(`${file}.bak`, { force: true });
  await link(file, `${file}.bak`).catch(ignoreMissing);
  await rename(aside, file);
  await syncFolder(dirname(file));
}

/** The newest readable copy; `healed` when it is not the file itself. Undefined when there is none. */
export async function readDurable<T>(
  file: string,
  schema: z.ZodType<T>,
): Promise<{ value: T; healed: boolean } | undefined> {
  for (const candidate of [file, `${file}.bak`]) {
    const value = schema.safeParse(await readJsonFile(candidate));
    if (value.success) return { value: value.data, healed: candidate !== file };
  }
  return undefined;
}

/** Undefined when it is not there or no JSON. */
export async function readJsonFile(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Makes renames and new names in `folder` survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
