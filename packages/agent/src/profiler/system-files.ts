/** The files in which the system tells of itself (/proc, /sys, /etc), under a root that tests put elsewhere. */
import { access, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface SystemFiles {
  /** What is in it, without blanks and NULs at both ends; undefined when it cannot be read or is empty. */
  text(path: string): Promise<string | undefined>;
  /** Sorted; empty when there is no such folder. */
  names(path: string): Promise<readonly string[]>;
  has(path: string): Promise<boolean>;
}

/** Of a file no more is read, bytes. */
const MAX_BYTES = 64 * 1024;

export function systemFiles(root = '/'): SystemFiles {
  return {
    text: (path) => head(join(root, path)).catch(() => undefined),
    names: async (path) => (await readdir(join(root, path)).catch(() => [])).toSorted((a, b) => (a < b ? -1 : 1)),
    has: (path) =>
      access(join(root, path)).then(
        () => true,
        () => false,
      ),
  };
}

async function head(path: string): Promise<string | undefined> {
  await using handle = await open(path, 'r');
  const buffer = Buffer.alloc(MAX_BYTES);
  // The kernel gives such a file in pieces, and 0 bytes only at its end.
  let length = 0;
  while (length < MAX_BYTES) {
    const { bytesRead } = await handle.read(buffer, length, MAX_BYTES - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const text = buffer.toString('utf8', 0, length).replaceAll(/^[\s\0]+|[\s\0]+$/g, '');
  return text === '' ? undefined : text;
}

/** At most `max` characters of it on one line, nothing that steers a terminal; undefined when nothing is left. */
export function oneLine(text: string | undefined, max: number): string | undefined {
  const line = (text ?? '')
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, max)
    .trim();
  return line === '' ? undefined : line;
}
