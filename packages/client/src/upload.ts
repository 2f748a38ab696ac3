/**
 * Brings bytes into a node's blob store, named by their SHA-256. Goes on where it stopped: after a cut connection, a
 * node restart, or a publish that was interrupted yesterday. Memory stays flat: one piece at a time.
 */
import { isLeonoreError, LeonoreError, type Sha256, type UploadStatus, uploadStatusSchema } from '@leonore/protocol';
import type { CallOptions, Http } from './http.ts';
import { pause } from './pause.ts';

export interface UploadProgress {
  /** Bytes the node has. */
  readonly sent: number;
  readonly size: number;
}

export interface UploadSource {
  /** Bytes in all. */
  readonly size: number;
  /** Gives exactly `length` bytes from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

export interface UploadOptions extends CallOptions {
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
  /** How often to try again without getting on. */
  readonly retries?: number;
  /** First wait before trying again; doubles up to 5 s. */
  readonly retryDelayMs?: number;
}

const MIN_PIECE = 256 * 1024;
const MAX_PIECE = 8 * 1024 * 1024;

/** Small enough for a progress that moves, large enough that round trips do not count. */
function pieceSize(size: number): number {
  return Math.min(MAX_PIECE, Math.max(MIN_PIECE, Math.ceil(size / 20)));
}

export function openUpload(http: Http, sha256: Sha256, size: number, call: CallOptions): Promise<UploadStatus> {
  return http.json(uploadStatusSchema, { method: 'PUT', path: `/api/v1/uploads/${sha256}`, json: { size }, ...call });
}

/** @throws LeonoreError `upload.digest`, `upload.too-large`, ...: what trying again does not mend; `server.unreachable` at the end of all tries. */
export async function upload(
  http: Http,
  source: UploadSource,
  sha256: Sha256,
  options: UploadOptions = {},
): Promise<UploadStatus> {
  const { signal, onProgress, retries = 6, retryDelayMs = 250 } = options;
  let failures = 0;
  let furthest = -1;
  let status: UploadStatus | undefined;
  for (;;) {
    signal?.throwIfAborted();
    try {
      status ??= await openUpload(http, sha256, source.size, { signal });
      if (status.offset > furthest) {
        furthest = status.offset;
        failures = 0;
      }
      onProgress?.({ sent: status.complete ? source.size : status.offset, size: source.size });
      if (status.complete) return status;
      status = await appendPiece(http, source, sha256, status.offset, signal);
    } catch (error) {
      if (!isLeonoreError(error) || !mends(error) || failures >= retries) throw error;
      // Ask anew how far the node came: the last piece may have arrived though its answer did not.
      status = undefined;
      await pause(Math.min(5000, retryDelayMs * 2 ** failures++), signal);
    }
  }
}

function mends(error: LeonoreError): boolean {
  return error.retryable || error.code === 'upload.unknown';
}

async function appendPiece(
  http: Http,
  source: UploadSource,
  sha256: Sha256,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<UploadStatus> {
  const length = Math.min(pieceSize(source.size), source.size - offset);
  if (length <= 0) {
    throw new LeonoreError('upload.offset', `the server has ${offset} of ${source.size} bytes but does not finish`);
  }
  return http.json(uploadStatusSchema, {
    method: 'PATCH',
    path: `/api/v1/uploads/${sha256}`,
    headers: { 'content-type': 'application/octet-stream', 'upload-offset': String(offset) },
    bytes: await source.read(offset, length),
    signal,
  });
}

/** A file as a source; closes it when disposed. Node only, so the module is loaded when it is needed. */
export async function openFileSource(file: string): Promise<UploadSource & AsyncDisposable> {
  const { open } = await import('node:fs/promises');
  const handle = await open(file, 'r');
  const { size } = await handle.stat();
  return {
    size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) throw new LeonoreError('upload.digest', `${file} became shorter while it was uploaded`);
        filled += bytesRead;
      }
      return bytes;
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
    },
  };
}
