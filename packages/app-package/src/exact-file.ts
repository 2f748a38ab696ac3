/** Reads a file that must be what it was when it was listed: an ordinary file of that size. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { CHUNK_BYTES } from './compression.ts';

// Not through a link, should somebody have put one there since.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** In pieces that the reader may keep. @throws `changed()` when it is another, shorter or longer, or gone */
export async function* exactFile(
  file: string,
  size: number,
  changed: (cause?: unknown) => Error,
): AsyncGenerator<Buffer, void, undefined> {
  if (size <= CHUNK_BYTES) {
    yield readSmall(file, size, changed);
    return;
  }
  await using handle = await open(file, FLAGS).catch((error: unknown) => {
    throw changed(error);
  });
  const stats = await handle.stat();
  if (!stats.isFile() || stats.size !== size) throw changed();
  for (let left = size; left > 0; ) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, left)));
    if (bytesRead === 0) throw changed();
    left -= bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** At once: for a small file four ways through the thread pool take far longer than the reading. */
function readSmall(file: string, size: number, changed: (cause?: unknown) => Error): Buffer {
  let handle: number;
  try {
    handle = openSync(file, FLAGS);
  } catch (error) {
    throw changed(error);
  }
  try {
    const stats = fstatSync(handle);
    const bytes = Buffer.allocUnsafe(size);
    if (!stats.isFile() || stats.size !== size || readSync(handle, bytes) !== size) throw changed();
    return bytes;
  } finally {
    closeSync(handle);
  }
}
