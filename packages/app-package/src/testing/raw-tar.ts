/**
 * For tests: builds tars as an attacker would, field by field and without any check. Written apart from tar-writer.ts on
 * purpose, so that one does not share the other's mistakes.
 */
import { createHash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Encoding, FileEntry, Sha256 } from '@leonore/protocol';

type Bytes = string | Buffer;

export interface RawEntry {
  readonly name: Bytes;
  readonly typeflag?: string;
  readonly body?: Bytes;
  readonly mode?: Bytes;
  readonly uid?: Bytes;
  readonly gid?: Bytes;
  readonly size?: Bytes;
  readonly mtime?: Bytes;
  readonly linkname?: Bytes;
  readonly magic?: Bytes;
  readonly uname?: Bytes;
  readonly devmajor?: Bytes;
  readonly prefix?: Bytes;
  /** What is added to the right checksum. */
  readonly checksumOffBy?: number;
  /** Fills the body's last block. */
  readonly padding?: number;
}

/** One entry: header block, body, padding. */
export function rawEntry(entry: RawEntry): Buffer {
  const body = Buffer.from(entry.body ?? '');
  const block = Buffer.alloc(512);
  const put = (offset: number, value: Bytes): void => {
    Buffer.from(value).copy(block, offset);
  };
  put(0, entry.name);
  put(100, entry.mode ?? '0000644\0');
  put(108, entry.uid ?? '0000000\0');
  put(116, entry.gid ?? '0000000\0');
  put(124, entry.size ?? `${body.length.toString(8).padStart(11, '0')}\0`);
  put(136, entry.mtime ?? '00000000000\0');
  put(148, '        ');
  put(156, entry.typeflag ?? '0');
  put(157, entry.linkname ?? '');
  put(257, entry.magic ?? 'ustar\x0000');
  put(265, entry.uname ?? '');
  put(329, entry.devmajor ?? '0000000\0');
  put(337, '0000000\0');
  put(345, entry.prefix ?? '');
  const sum = block.reduce((total, byte) => total + byte, 0) + (entry.checksumOffBy ?? 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return Buffer.concat([block, body, Buffer.alloc((512 - (body.length % 512)) % 512, entry.padding ?? 0)]);
}

export function rawFolder(name: string): Buffer {
  return rawEntry({ name: `${name}/`, typeflag: '5', mode: '0000755\0' });
}

export function rawFile(name: string, body = 'x', mode: 0o755 | 0o644 = 0o644): Buffer {
  return rawEntry({ name, body, mode: `0000${mode.toString(8)}\0` });
}

/** A PAX header with one record. */
export function rawPax(key: string, value: string): Buffer {
  let length = key.length + Buffer.byteLength(value) + 4;
  while (`${length} ${key}=${value}\n`.length < length || Buffer.byteLength(`${length} ${key}=${value}\n`) > length)
    length++;
  return rawEntry({ name: 'PaxHeaders/path', typeflag: 'x', body: `${length} ${key}=${value}\n` });
}

export function compressRaw(encoding: Encoding, bytes: Buffer): Buffer {
  return encoding === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes);
}

export function sha256Of(bytes: Bytes): Sha256 {
  return createHash('sha256').update(bytes).digest('hex') as Sha256;
}

export function fileEntry(path: string, body: Bytes = 'x', mode: 0o755 | 0o644 = 0o644): FileEntry {
  return { path, mode, size: Buffer.byteLength(body), sha256: sha256Of(body) };
}
