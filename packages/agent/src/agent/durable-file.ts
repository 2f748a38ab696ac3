/**
 * JSON files that survive a power cut at any moment and the loss of one copy: written aside, flushed, moved into place,
 * and then once more as FILE.bak. A reader takes FILE, or FILE.bak when FILE is torn, zeroed or gone.
 *
 *   I. At each moment one of the two is whole.
 *   II. FILE, when it is whole, is the newest; FILE.bak is older only when the write of both was cut off between them.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';

/** Fulfilled when `value` is on the disk for good. */
export async function writeDurable(file: string, value: unknown, mode = 0o600): Promise<void> {
  const text = textOf(value);
  await replaceFile(file, text, mode);
  // One copy is enough to go on with; an old one beside it must not be taken for the newest one day.
  await replaceFile(twinOf(file), text, mode).catch(() => rm(twinOf(file), { force: true }).catch(() => undefined));
  await syncFolder(dirname(file));
}

/** For files that nobody writes meanwhile. `healed` when the file itself could not be read; its copy then makes it whole again. Undefined when neither can be read. */
export async function readDurable<T>(
  file: string,
  schema: z.ZodType<T>,
): Promise<{ value: T; healed: boolean } | undefined> {
  const copies = [file, twinOf(file)];
  const [own, twin] = await Promise.all(copies.map(async (copy) => schema.safeParse(await readJsonFile(copy))));
  // Cut off while they were written: nobody believes them on disk.
  for (const copy of copies) await rm(asideOf(copy), { force: true }).catch(() => undefined);
  const whole = own?.success ? own : twin;
  if (!whole?.success) return undefined;
  const same = own?.success && twin?.success && textOf(own.data) === textOf(twin.data);
  // A disk that takes nothing is no reason to do without what can be read.
  if (!same) await writeDurable(file, whole.data).catch(() => undefined);
  return { value: whole.data, healed: whole !== own };
}

export async function removeDurable(file: string): Promise<void> {
  await rm(twinOf(file), { force: true });
  await rm(file, { force: true });
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

/** Fulfilled when FILE has this text; in which of the two states it is after a power cut says only `syncFolder`. */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const aside = asideOf(file);
  try {
    const handle = await open(aside, 'w', mode);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined);
    throw error;
  }
}

function asideOf(file: string): string {
  return `${file}.tmp`;
}

function twinOf(file: string): string {
  return `${file}.bak`;
}

function textOf(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}
