/**
 * The log of an application: a file that its process appends to by itself, so that nothing is lost while the agent is
 * away. Kept small by copying its end to FILE.1 and cutting it (the process's O_APPEND makes it go on at the start).
 */
import { open, rm, stat, writeFile } from 'node:fs/promises';

/** Bytes of the file, 0 when there is none. */
export async function logSize(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

export interface Rotation {
  /** Bytes that were found. */
  readonly size: number;
  readonly cut: boolean;
  readonly kept: boolean;
}

/** When the file is over `maxBytes` it is emptied; its last `maxBytes` become FILE.1 when `keep` says so. */
export async function rotateLog(file: string, maxBytes: number, keep = true): Promise<Rotation> {
  const size = await logSize(file);
  if (size <= maxBytes) return { size, cut: false, kept: false };
  const handle = await open(file, 'r+');
  try {
    if (keep) {
      const end = await readAt(handle, size - maxBytes, maxBytes);
      // On a full disk the old log is what can be spared.
      await writeFile(`${file}.1`, end).catch(() => rm(`${file}.1`, { recursive: true, force: true }));
    }
    await handle.truncate(0);
  } finally {
    await handle.close();
  }
  return { size, cut: true, kept: keep };
}

/** The last lines written at or after byte `from`, oldest first. */
export async function lastLines(file: string, count: number, from = 0): Promise<string[]> {
  const size = await logSize(file);
  const start = Math.max(from > size ? 0 : from, size - 16_384);
  const handle = await open(file, 'r').catch(() => undefined);
  if (!handle) return [];
  try {
    return tailLines((await readAt(handle, start, size - start)).toString('utf8'), count);
  } finally {
    await handle.close();
  }
}

/** The last `count` lines that are not empty. */
export function tailLines(text: string, count: number): string[] {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  return lines.slice(-count);
}

async function readAt(
  handle: { read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ bytesRead: number }> },
  position: number,
  length: number,
): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
