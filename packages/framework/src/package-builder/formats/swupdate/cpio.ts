/**
 * The cpio archive that SWUpdate reads: "new ASCII" (magic 070701, cpio(5)). Only what stands around the files' bytes is
 * made here, so an archive costs its heads whatever it holds. Pure; the same input gives the same bytes.
 */

const MAGIC = '070701';
const REGULAR_FILE = 0o100644;
const ALIGNMENT = 4;
/** As cpio pads a whole archive; SWUpdate reads so much behind the trailer. */
const BLOCK = 512;
/** Eight hex digits. */
export const MAX_CPIO_FILE = 2 ** 32 - 1;

/** What stands before a file of `size` bytes. `index` counts the files of the archive from 1. */
export function cpioHead(name: string, size: number, index: number): Buffer {
  return head({ name, size, index, mode: REGULAR_FILE, links: 1 });
}

/** Zero bytes after a file of `size` bytes. */
export function cpioPadding(size: number): Buffer {
  return Buffer.alloc(fill(size, ALIGNMENT));
}

/** What stands behind the last file. `length`: bytes of the archive so far. */
export function cpioTrailer(length: number): Buffer {
  const trailer = head({ name: 'TRAILER!!!', size: 0, index: 0, mode: 0, links: 1 });
  return Buffer.concat([trailer, Buffer.alloc(fill(length + trailer.length, BLOCK))]);
}

function head(entry: { name: string; size: number; index: number; mode: number; links: number }): Buffer {
  if (entry.size > MAX_CPIO_FILE) throw new Error(`a file in a cpio archive has at most ${MAX_CPIO_FILE} bytes`);
  const name = Buffer.from(`${entry.name}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), device of the file (2), length of the name, checksum (unused)
  const fields = [entry.index, entry.mode, 0, 0, entry.links, 0, entry.size, 0, 0, 0, 0, name.length, 0];
  const digits = fields.map((value) => value.toString(16).toUpperCase().padStart(8, '0')).join('');
  const bytes = Buffer.concat([Buffer.from(`${MAGIC}${digits}`), name]);
  return Buffer.concat([bytes, Buffer.alloc(fill(bytes.length, ALIGNMENT))]);
}

function fill(length: number, unit: number): number {
  return (unit - (length % unit)) % unit;
}
