/**
 * Reads what tar-writer.ts writes and nothing else: files, folders and PAX `path` records, byte for byte in the one
 * form the writer has. What differs is refused with the field that differs.
 * Leaves to others: which names are allowed where (entry-gate.ts), limits, writing to disk.
 */
import { isUtf8 } from 'node:buffer';
import { corrupt, hostile, quoted } from './archive-fault.ts';
import type { ByteReader } from './byte-reader.ts';
import { MAX_PATH_BYTES } from './entry-path.ts';
import { encodeTarEntry, TAR_BLOCK, TAR_FIELDS, tarChecksum, type TarEntry, tarPadding } from './tar-writer.ts';

/** Called for each entry in turn; reads `body` to its end before it returns. */
export type TarVisitor = (entry: TarEntry, body: AsyncIterable<Uint8Array>) => Promise<void>;

/** What a typeflag means that is never unpacked. */
const REFUSED_TYPES: Readonly<Record<string, string>> = {
  '\0': 'an entry of a tar older than POSIX',
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a FIFO',
  '7': 'a contiguous file',
  g: 'a global PAX header',
  K: 'a GNU long link name',
  L: 'a GNU long name',
  M: 'a GNU multi-volume continuation',
  S: 'a GNU sparse file',
  V: 'a GNU volume label',
};

/** Longer than the record of the longest allowed path. */
const MAX_PAX_BYTES = MAX_PATH_BYTES + 64;

/** `where`: what the tar is of, as shown to people, such as `the segment of svm`. Reads to the end; there are no end blocks. */
export async function readTar(bytes: ByteReader, where: string, visit: TarVisitor): Promise<void> {
  let before = 'at its beginning';
  while (!(await bytes.atEnd())) {
    const entry = await readEntry(bytes, where, before);
    const name = quoted(entry.path);
    const end = bytes.position + entry.size;
    await visit(entry, bytes.take(entry.size, name));
    if (bytes.position !== end) throw new Error(`${name} was not read to its end`);
    const padding = await bytes.read(tarPadding(entry.size), name);
    if (padding.some((byte) => byte !== 0)) throw hostile(name, 'is followed by bytes that are not zero');
    before = `after ${name}`;
  }
}

async function readEntry(bytes: ByteReader, where: string, before: string): Promise<TarEntry> {
  let blocks = await readBlock(bytes, where, before);
  let name = ustarName(blocks);
  if (typeflag(blocks) === 'x') {
    const pax = await readPaxPath(bytes, blocks, where, name);
    name = pax.path;
    const header = await readBlock(bytes, where, `after the PAX header of ${quoted(name.toString())}`);
    blocks = Buffer.concat([blocks, pax.blocks, header]);
  }
  return parseEntry(name, blocks.subarray(-TAR_BLOCK), blocks);
}

/** A header block whose checksum is right. */
async function readBlock(bytes: ByteReader, where: string, before: string): Promise<Buffer> {
  const block = await bytes.read(TAR_BLOCK, `${where}, ${before},`);
  if (block.every((byte) => byte === 0))
    throw corrupt(`${where}, ${before},`, 'has an empty block where an entry should be');
  const stored = /^([0-7]{6})\0 $/.exec(field(block, 'checksum').toString('latin1'));
  if (!stored || Number.parseInt(stored[1] ?? '', 8) !== tarChecksum(block)) {
    throw corrupt(quoted(ustarName(block).toString()), `(in ${where}, ${before}) has a header with a wrong checksum`);
  }
  return block;
}

/** `blocks`: all header blocks of the entry; `header`: the last of them. */
function parseEntry(nameBytes: Buffer, header: Buffer, blocks: Buffer): TarEntry {
  const name = nameBytes.toString();
  const shown = quoted(name);
  const flag = typeflag(header);
  if (flag !== '0' && flag !== '5') {
    throw hostile(
      shown,
      `is ${REFUSED_TYPES[flag] ?? `of the unknown type ${quoted(flag)}`}; only files and folders are unpacked`,
    );
  }
  if (!isUtf8(nameBytes)) throw hostile(shown, 'has a name that is not UTF-8');
  const type = flag === '5' ? 'folder' : 'file';
  const slash = name.endsWith('/');
  if (slash !== (type === 'folder')) {
    throw hostile(
      shown,
      type === 'file' ? 'is a file with the name of a folder' : 'is a folder without a slash behind its name',
    );
  }
  const mode = octal(header, 'mode', shown);
  if (mode !== 0o755 && (mode !== 0o644 || type === 'folder')) {
    throw hostile(shown, `has the mode ${mode.toString(8)}; files have 755 or 644, folders 755`);
  }
  const size = octal(header, 'size', shown);
  if (type === 'folder' && size !== 0) throw hostile(shown, 'is a folder that has a size');
  const entry: TarEntry = { type, path: slash ? name.slice(0, -1) : name, mode, size };
  requireCanonical(entry, blocks, shown);
  return entry;
}

/** The writer would have written the same blocks: owner, times, links, devices, padding and all. */
function requireCanonical(entry: TarEntry, blocks: Buffer, shown: string): void {
  const expected = encodeTarEntry(entry);
  if (expected.equals(blocks)) return;
  if (expected.length !== blocks.length) throw hostile(shown, 'has its name in another form than LEONORE writes it');
  // The checksum differs with whatever else does.
  const [start, length] = TAR_FIELDS.checksum;
  const isChecksum = (at: number): boolean => at % TAR_BLOCK >= start && at % TAR_BLOCK < start + length;
  const differs = (byte: number, at: number): boolean => byte !== expected[at] && !isChecksum(at);
  const at = blocks.findIndex(differs) % TAR_BLOCK;
  const names = Object.keys(TAR_FIELDS) as (keyof typeof TAR_FIELDS)[];
  const different = names.find((key) => at < TAR_FIELDS[key][0] + TAR_FIELDS[key][1]);
  throw hostile(shown, `has something else in the field "${different}" of its header than LEONORE writes`);
}

async function readPaxPath(
  bytes: ByteReader,
  header: Buffer,
  where: string,
  headerName: Buffer,
): Promise<{ path: Buffer; blocks: Buffer }> {
  const shown = `the PAX header ${quoted(headerName.toString())} in ${where}`;
  const size = octal(header, 'size', shown);
  if (size > MAX_PAX_BYTES) throw hostile(shown, `has ${size} bytes; a path has at most ${MAX_PATH_BYTES}`);
  const blocks = await bytes.read(size + tarPadding(size), shown);
  const record = blocks.subarray(0, size);
  const match = /^(\d+) ([^=]*)=/.exec(record.toString('latin1'));
  if (match?.[2] !== 'path' || Number(match[1]) !== size || record.at(-1) !== 0x0a) {
    throw hostile(shown, `holds ${match ? `a record "${match[2]}"` : 'no record'}; exactly one record "path" is taken`);
  }
  return { path: record.subarray(match[0].length, -1), blocks };
}

function field(block: Buffer, name: keyof typeof TAR_FIELDS): Buffer {
  const [start, length] = TAR_FIELDS[name];
  return block.subarray(start, start + length);
}

function typeflag(block: Buffer): string {
  return field(block, 'typeflag').toString('latin1');
}

/** `prefix/name`, whole: a NUL in the middle stays in, so that it is seen. */
function ustarName(block: Buffer): Buffer {
  const prefix = withoutFill(field(block, 'prefix'));
  const name = withoutFill(field(block, 'name'));
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function withoutFill(text: Buffer): Buffer {
  let end = text.length;
  while (end > 0 && text[end - 1] === 0) end--;
  return text.subarray(0, end);
}

/** Digits to the end of the field: no spaces, no signs, none of GNU's base-256 numbers. */
function octal(block: Buffer, name: 'mode' | 'size', shown: string): number {
  const text = field(block, name).toString('latin1');
  if (text.charCodeAt(0) >= 0x80) throw hostile(shown, `has a binary (base-256) or negative number for its ${name}`);
  if (!/^[0-7]+\0$/.test(text)) throw hostile(shown, `has ${quoted(text)} for its ${name}, which is no octal number`);
  return Number.parseInt(text, 8);
}
