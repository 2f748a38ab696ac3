/**
 * Digests of a blob's pieces. A blob's name proves it whole; to prove a range of it without reading the rest, the digest of
 * each piece is kept from the one time that it was read in full. They belong to the name, not to a file: whichever file
 * holds the blob later is held to them.
 */
import { createHash, hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Sha256 } from '@leonore/protocol';

/** Bytes of a piece: what is read, checked and handed out at once. */
export const PIECE = 256 * 1024;
const DIGEST = 32;

export interface Pieces {
  /** Of the whole blob, bytes. */
  readonly size: number;
  /** One SHA-256 after the other. */
  readonly digests: Buffer;
}

/** A blob of one piece needs no reading: its name is that piece's digest. */
export function onePiece(sha256: Sha256, size: number): Pieces {
  return { size, digests: Buffer.from(sha256, 'hex') };
}

export function isPiece(pieces: Pieces, index: number, bytes: Uint8Array): boolean {
  return hash('sha256', bytes, 'buffer').equals(pieces.digests.subarray(index * DIGEST, (index + 1) * DIGEST));
}

/** Reads the file once, piece by piece: what its name should be, and its pieces. */
export async function digestFile(file: FileHandle): Promise<{ sha256: string; pieces: Pieces }> {
  const whole = createHash('sha256');
  const digests: Buffer[] = [];
  const buffer = Buffer.allocUnsafeSlow(PIECE);
  for (let size = 0; ; ) {
    const piece = await readFully(file, buffer, size);
    whole.update(piece);
    if (piece.length > 0 || size === 0) digests.push(hash('sha256', piece, 'buffer'));
    size += piece.length;
    if (piece.length < PIECE) return { sha256: whole.digest('hex'), pieces: { size, digests: Buffer.concat(digests) } };
  }
}

/** As much of the buffer as the file fills from `position` on. */
export async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled === buffer.length ? buffer : buffer.subarray(0, filled);
}
