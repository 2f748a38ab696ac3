/**
 * The tar that LEONORE writes: POSIX ustar (IEEE 1003.1-1988), a PAX `path` record (IEEE 1003.1-2001) where a name does
 * not fit. There is exactly one way to write an entry: the reader takes nothing else.
 * Leaves to others: order and names of entries, the files' bytes, end blocks.
 */

/** A file or a folder, nothing else. `path` without a folder's trailing slash. */
export interface TarEntry {
  readonly type: 'file' | 'folder';
  readonly path: string;
  /** Folders always 0o755. */
  readonly mode: 0o755 | 0o644;
  /** Bytes; 0 for a folder. */
  readonly size: number;
}

export const TAR_BLOCK = 512;
/** Eleven octal digits. */
export const MAX_FILE_BYTES = 8 ** 11 - 1;

/** The fields of a header block: name, offset, length. */
export const TAR_FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
  'trailing bytes': [500, 12],
} as const;

const PAX_TYPE = 'x';
const PAX_NAME = Buffer.from('PaxHeaders/path');

/** Header blocks of an entry: one, or three and more where its name is long. */
export function encodeTarEntry(entry: TarEntry): Buffer {
  const name = Buffer.from(entryName(entry));
  const typeflag = entry.type === 'folder' ? '5' : '0';
  const split = splitName(name);
  if (split) return encodeHeader({ ...split, mode: entry.mode, size: entry.size, typeflag });
  const record = encodePaxPath(name);
  return Buffer.concat([
    encodeHeader({ name: PAX_NAME, prefix: NOTHING, mode: 0o644, size: record.length, typeflag: PAX_TYPE }),
    record,
    Buffer.alloc(tarPadding(record.length)),
    encodeHeader({ name: name.subarray(0, 100), prefix: NOTHING, mode: entry.mode, size: entry.size, typeflag }),
  ]);
}

/** A folder's name ends with a slash; entries are sorted by the bytes of these. */
export function entryName(entry: Pick<TarEntry, 'type' | 'path'>): string {
  return entry.type === 'folder' ? `${entry.path}/` : entry.path;
}

/** Zero bytes after a file of `size` bytes. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

/** Sum of a header block's bytes with the checksum field taken as spaces. */
export function tarChecksum(block: Uint8Array): number {
  const [start, length] = TAR_FIELDS.checksum;
  let sum = 0;
  for (let i = 0; i < TAR_BLOCK; i++) sum += i >= start && i < start + length ? 0x20 : (block[i] ?? 0);
  return sum;
}

const NOTHING = Buffer.alloc(0);

/** Into `prefix` / `name`, with the shortest prefix; undefined when it does not fit. */
function splitName(name: Buffer): { name: Buffer; prefix: Buffer } | undefined {
  if (name.length <= 100) return { name, prefix: NOTHING };
  const slash = name.indexOf('/', name.length - 101);
  if (slash < 1 || slash > 155 || slash === name.length - 1) return undefined;
  return { name: name.subarray(slash + 1), prefix: name.subarray(0, slash) };
}

/** `LENGTH path=NAME\n`, where LENGTH counts itself. */
function encodePaxPath(name: Buffer): Buffer {
  const rest = name.length + ' path=\n'.length;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} path=`), name, Buffer.from('\n')]);
}

function encodeHeader(header: { name: Buffer; prefix: Buffer; mode: number; size: number; typeflag: string }): Buffer {
  const block = Buffer.alloc(TAR_BLOCK);
  const put = (field: keyof typeof TAR_FIELDS, value: string): void => {
    block.write(value, TAR_FIELDS[field][0], 'latin1');
  };
  header.name.copy(block, TAR_FIELDS.name[0]);
  put('mode', octal(header.mode, 8));
  put('uid', octal(0, 8));
  put('gid', octal(0, 8));
  put('size', octal(header.size, 12));
  put('mtime', octal(0, 12));
  put('typeflag', header.typeflag);
  put('magic', 'ustar\0');
  put('version', '00');
  put('devmajor', octal(0, 8));
  put('devminor', octal(0, 8));
  header.prefix.copy(block, TAR_FIELDS.prefix[0]);
  put('checksum', `${octal(tarChecksum(block), 7)} `);
  return block;
}

/** Digits that fill the field but for its closing NUL. */
function octal(value: number, fieldLength: number): string {
  return `${value.toString(8).padStart(fieldLength - 1, '0')}\0`;
}
