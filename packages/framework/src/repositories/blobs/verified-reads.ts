/**
 * Reading a blob so that no byte is handed out that is not what was stored. The first read since the start goes through the
 * whole file and compares its digest, once for however many wait; every read after it compares the pieces that it touches.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { LeonoreError, type Sha256 } from '@leonore/protocol';
import type { BlobStore } from '../contract.ts';
import type { Damages } from './damages.ts';
import { digestFile, isPiece, onePiece, PIECE, type Pieces, readFully } from './digests.ts';
import { ignoreMissing } from './durable.ts';
import { createPiecesCache } from './pieces-cache.ts';

export interface VerifiedReads extends Pick<BlobStore, 'read' | 'bytes' | 'prove' | 'verify'> {
  /** The pieces of bytes that were read and compared already: nobody has to do it again. */
  remember(sha256: Sha256, pieces: Pieces): void;
}

export interface VerifiedReadOptions {
  readonly blobFile: (sha256: Sha256) => string;
  readonly damages: Damages;
  /** Memory for digests; 32 bytes for each 256 KiB of blobs that were read. */
  readonly maxDigestBytes: number;
}

export function createVerifiedReads({ blobFile, damages, maxDigestBytes }: VerifiedReadOptions): VerifiedReads {
  const proven = createPiecesCache(maxDigestBytes);
  const proving = new Map<Sha256, Promise<Pieces>>();

  async function openBlob(sha256: Sha256): Promise<FileHandle> {
    const file = await open(blobFile(sha256), 'r').catch(ignoreMissing);
    if (!file) throw await damages.missing(sha256);
    return file;
  }

  /** A disk that cannot read the bytes any more has lost them. */
  async function reading<T>(sha256: Sha256, file: FileHandle, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EIO')) throw error;
      throw await damages.setAside(sha256, file, 'unreadable', 'cannot be read from the disk');
    }
  }

  function otherBytes(sha256: Sha256, file: FileHandle, found: string): Promise<LeonoreError> {
    return damages.setAside(sha256, file, 'damaged', `holds other bytes, whose SHA-256 is ${found}`);
  }

  async function readWhole(sha256: Sha256): Promise<Pieces> {
    await using file = await openBlob(sha256);
    const found = await reading(sha256, file, () => digestFile(file));
    if (found.sha256 !== sha256) throw await otherBytes(sha256, file, found.sha256);
    proven.keep(sha256, found.pieces);
    return found.pieces;
  }

  function prove(sha256: Sha256): Promise<Pieces> {
    const running = proving.get(sha256);
    if (running) return running;
    const started = readWhole(sha256).finally(() => proving.delete(sha256));
    proving.set(sha256, started);
    return started;
  }

  async function piecesOf(sha256: Sha256, size: number): Promise<Pieces> {
    if (size <= PIECE) return onePiece(sha256, size);
    const pieces = proven.get(sha256);
    // Another length than it had: reading it whole finds it damaged, or a whole one in its place.
    return pieces?.size === size ? pieces : prove(sha256);
  }

  async function* read(sha256: Sha256, range?: { start: number; end: number }): AsyncGenerator<Uint8Array> {
    await using file = await openBlob(sha256);
    const pieces = await piecesOf(sha256, (await file.stat()).size);
    const { start, end } = range ?? { start: 0, end: pieces.size };
    if (end > pieces.size) {
      // Cut short on the disk, which reading it whole finds; or the caller is wrong, and the blob not to blame.
      await prove(sha256);
      throw new LeonoreError('server.internal', `the blob ${sha256} has no byte ${end - 1}`);
    }
    for (let at = start - (start % PIECE); at < end; at += PIECE) {
      // A buffer for each piece: the reader may keep it.
      const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE, pieces.size - at));
      const bytes = await reading(sha256, file, () => readFully(file, buffer, at));
      if (!isPiece(pieces, at / PIECE, bytes)) {
        throw await damages.setAside(sha256, file, 'damaged', `holds other bytes from byte ${at} on`);
      }
      yield bytes.subarray(Math.max(start - at, 0), end - at);
    }
  }

  async function bytes(sha256: Sha256): Promise<Uint8Array> {
    await using file = await openBlob(sha256);
    const buffer = Buffer.allocUnsafeSlow((await file.stat()).size);
    const whole = createHash('sha256');
    for (let at = 0; at < buffer.length; at += PIECE) {
      const piece = buffer.subarray(at, at + PIECE);
      whole.update(await reading(sha256, file, () => readFully(file, piece, at)));
    }
    const found = whole.digest('hex');
    if (found !== sha256) throw await otherBytes(sha256, file, found);
    return buffer;
  }

  return {
    read,
    bytes,
    async prove(sha256) {
      const known = proven.get(sha256);
      const found = known && (await stat(blobFile(sha256)).catch(ignoreMissing));
      if (!known || found?.size !== known.size) await prove(sha256);
    },
    async verify(sha256) {
      // Not one that began before: what is asked is how the bytes are now.
      return { size: (await readWhole(sha256)).size };
    },
    remember: proven.keep,
  };
}
