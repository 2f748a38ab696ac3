/**
 * Unpacks the tar of a root file system, as `docker export`, `tar` and `mmdebstrap` write it (ustar with PAX or GNU
 * extensions): files, folders, links. Everything stays below the target whatever the tar says: links are made last, and
 * nothing is written through one. Owners are root, setuid is taken away, devices are left out: the runtime makes its own.
 * Leaves to others: packages, which hold no links (app-package).
 */
import { chmod, type FileHandle, link, lstat, mkdir, open, rename, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';

const BLOCK = 512;
const CHUNK = 256 * 1024;
/** Of one PAX header or long name, bytes. */
const MAX_EXTENSION = 64 * 1024;

interface Entry {
  readonly type: string;
  readonly path: string;
  readonly target: string;
  readonly mode: number;
  readonly size: number;
  /** Of its content in the tar. */
  readonly at: number;
}

/** `target` is there whole or not at all: it is unpacked to `partial` and then moved. @throws LeonoreError `archive.corrupt`, `archive.hostile`. */
export async function unpackRootfs(tar: string, partial: string, target: string): Promise<void> {
  const handle = await open(tar, 'r').catch((error: unknown) => {
    throw new LeonoreError('agent.unsupported', `the root file system ${tar} cannot be read: ${String(error)}`, {
      cause: error,
    });
  });
  try {
    await mkdir(partial, { recursive: true });
    const later: Entry[] = [];
    const folders: Entry[] = [];
    for await (const entry of entries(handle, tar)) {
      const path = safePath(partial, entry.path, tar);
      switch (entry.type) {
        case '0':
          await mkdir(dirname(path), { recursive: true });
          await copyOut(handle, entry, path);
          break;
        case '5':
          await mkdir(path, { recursive: true });
          folders.push(entry);
          break;
        case '1':
        case '2':
          later.push(entry);
          break;
        case '3':
        case '4':
        case '6':
          break;
        default:
          throw new LeonoreError('archive.hostile', `${entry.path} in ${tar} is of the unknown type "${entry.type}"`);
      }
    }
    // Hard links before symbolic ones: none leads through those.
    for (const entry of later.toSorted((a, b) => a.type.localeCompare(b.type))) await makeLink(partial, entry, tar);
    // Last, as a folder may be closed to writing.
    for (const { path, mode } of folders.toReversed()) await chmod(safePath(partial, path, tar), mode);
    // Whoever made the tar in a folder of their own did not mean to lock the application out.
    await chmod(partial, 0o755);
    await rename(partial, target);
    await syncFolder(dirname(target));
  } finally {
    await handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function copyOut(tar: FileHandle, entry: Entry, path: string): Promise<void> {
  const file = await open(path, 'w', entry.mode);
  try {
    const buffer = Buffer.alloc(Math.min(CHUNK, entry.size));
    for (let done = 0; done < entry.size; ) {
      const { bytesRead } = await tar.read(buffer, 0, Math.min(buffer.length, entry.size - done), entry.at + done);
      if (bytesRead === 0) throw new LeonoreError('archive.corrupt', `the root file system ends within ${entry.path}`);
      await file.writeFile(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
    await file.chmod(entry.mode);
    // It counts as whole after a power cut too.
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function makeLink(root: string, entry: Entry, tar: string): Promise<void> {
  const path = safePath(root, entry.path, tar);
  for (let folder = dirname(path); folder !== root; folder = dirname(folder)) {
    const there = await lstat(folder).catch(() => undefined);
    if (there && !there.isDirectory()) throw hostile(tar, entry.path, 'lies in what is no folder');
  }
  await mkdir(dirname(path), { recursive: true });
  if (entry.type === '2') return symlink(entry.target, path);
  const existing = safePath(root, entry.target, tar);
  if (!(await lstat(existing)).isFile()) throw hostile(tar, entry.path, 'is a hard link to what is no file');
  await link(existing, path);
}

/** Where `path` of the tar lies; never outside of `root`. */
function safePath(root: string, path: string, tar: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || path.includes('\0')) throw hostile(tar, path, 'leads out of it');
  return join(root, ...parts);
}

function hostile(tar: string, path: string, what: string): LeonoreError {
  return new LeonoreError('archive.hostile', `${JSON.stringify(path)} in ${tar} ${what}`);
}

async function* entries(handle: FileHandle, tar: string): AsyncGenerator<Entry> {
  let next: { path?: string; target?: string; size?: number } = {};
  for (let at = 0; ; ) {
    const header = await readExactly(handle, at, BLOCK);
    if (!header || header.every((byte) => byte === 0)) return;
    at += BLOCK;
    if (checksum(header) !== octal(header, 148, 8)) {
      throw new LeonoreError('archive.corrupt', `${tar} has a header with a wrong checksum; it is no uncompressed tar`);
    }
    const flag = String.fromCharCode(header[156] ?? 0)
      .replace('\0', '0')
      .replace('7', '0');
    const size = next.size ?? octal(header, 124, 12);
    const padded = Math.ceil(size / BLOCK) * BLOCK;
    if ('xgLK'.includes(flag)) {
      const extension = size <= MAX_EXTENSION ? await readExactly(handle, at, size) : undefined;
      if (!extension) throw new LeonoreError('archive.corrupt', `${tar} has a broken extension header`);
      if (flag === 'L') next.path = text(extension, 0, size);
      else if (flag === 'K') next.target = text(extension, 0, size);
      else if (flag === 'x') next = { ...next, ...paxOf(extension) };
      at += padded;
      continue;
    }
    // GNU's own form says `ustar` and a space, and has other things there.
    const prefix = text(header, 257, 6) === 'ustar' ? text(header, 345, 155) : '';
    const name = text(header, 0, 100);
    yield {
      type: flag,
      path: next.path ?? (prefix === '' ? name : `${prefix}/${name}`),
      target: next.target ?? text(header, 157, 100),
      mode: octal(header, 100, 8) & 0o777,
      size,
      at,
    };
    // Links and folders may say a size and have no content.
    at += flag === '0' ? padded : 0;
    next = {};
  }
}

/** Of a PAX header: LENGTH KEY=VALUE NEWLINE, again and again. */
function paxOf(bytes: Buffer): { path?: string; target?: string; size?: number } {
  const found: { path?: string; target?: string; size?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.subarray(at, space).toString());
    if (space < 0 || !Number.isSafeInteger(length) || length <= space - at) break;
    const record = bytes.subarray(space + 1, at + length - 1).toString('utf8');
    const value = record.slice(record.indexOf('=') + 1);
    if (record.startsWith('path=')) found.path = value;
    if (record.startsWith('linkpath=')) found.target = value;
    if (record.startsWith('size=')) found.size = Number(value);
    at += length;
  }
  return found;
}

/** Undefined when the file ends before. */
async function readExactly(handle: FileHandle, at: number, length: number): Promise<Buffer | undefined> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, at + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return buffer;
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString('utf8');
}

function octal(block: Buffer, at: number, length: number): number {
  // GNU writes what is too large for the field as a number of base 256.
  if (((block[at] ?? 0) & 0x80) !== 0) return Number(block.readBigUInt64BE(at + length - 8));
  return Number.parseInt(text(block, at, length).trim() || '0', 8);
}

/** All bytes of the header, its own field counted as spaces. */
function checksum(header: Buffer): number {
  return header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0);
}
