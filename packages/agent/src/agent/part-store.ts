/**
 * Parts on their way into `downloads/`: headers, segments and deltas, each named by its digest. So it does not matter
 * which package or which run of the agent has brought a part, or half of one: whoever names the digest goes on with it.
 * Invariant: a part whose bytes are all here has its digest; one that has not is deleted when its last byte comes.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Sha256 } from '@leonore/protocol';
import type { KeepRoom } from './room.ts';

export interface PartName {
  readonly sha256: Sha256;
  /** Bytes. */
  readonly length: number;
  /** What it is, as shown to people, such as `the segment of svm`. */
  readonly subject: string;
}

export interface Part extends PartName {
  readonly path: string;
  /** Bytes that are here. */
  readonly have: number;
  /** Bytes that came since the store was opened. */
  readonly received: number;
  /** No more than what is missing. @throws LeonoreError `archive.mismatch` when it was the last and the digest is another */
  append(chunk: Uint8Array): Promise<void>;
  discard(): Promise<void>;
}

export interface PartStore extends AsyncDisposable {
  /** The same part for the same digest. What is here of it is read once. */
  part(name: PartName): Promise<Part>;
  /** Whether bytes of anything but `sha256` are here. */
  holdsOtherThan(sha256: Sha256): Promise<boolean>;
  /** The ETag under which the server has the package with that header. */
  etag(header: Sha256): Promise<string | undefined>;
  setEtag(header: Sha256, etag: string | undefined): Promise<void>;
}

/** RFC 9110, 8.8.3: anything else in the file is damage, and nothing that a header could carry. */
const ETAG = /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** `keepRoom`: asked before each write. */
export function openPartStore(dir: string, keepRoom: KeepRoom = async () => undefined): PartStore {
  const parts = new Map<Sha256, ReturnType<typeof openPart>>();
  const etagFile = (header: Sha256): string => join(dir, `${header}.etag`);
  return {
    part(name) {
      const found = parts.get(name.sha256) ?? openPart(dir, name, keepRoom);
      parts.set(name.sha256, found);
      return found;
    },
    holdsOtherThan: async (sha256) =>
      (await readdir(dir)).some((name) => name.endsWith('.part') && !name.startsWith(sha256)),
    etag: async (header) => ETAG.exec(await readFile(etagFile(header), 'utf8').catch(() => ''))?.[0],
    async setEtag(header, etag) {
      if (etag === undefined) await rm(etagFile(header), { force: true });
      else await writeFile(etagFile(header), etag, { mode: 0o600 });
    },
    async [Symbol.asyncDispose]() {
      for (const part of parts.values()) await (await part.catch(() => undefined))?.close();
    },
  };
}

/** Deletes what was downloaded, but for parts with these digests. */
export async function discardDownloads(dir: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    if (!keep.has(name.split('.')[0] ?? '')) await rm(join(dir, name), { force: true, recursive: true });
  }
}

async function openPart(dir: string, name: PartName, keepRoom: KeepRoom): Promise<Part & { close(): Promise<void> }> {
  const { sha256, length, subject } = name;
  const path = join(dir, `${sha256}.part`);
  let { have, hash } = await readPart(path, name);
  let received = 0;
  let handle: FileHandle | undefined;

  const close = async (): Promise<void> => {
    const open = handle;
    handle = undefined;
    await open?.close();
  };
  const discard = async (): Promise<void> => {
    await close();
    await rm(path, { force: true });
    have = 0;
    hash = createHash('sha256');
  };
  return {
    ...name,
    path,
    get have() {
      return have;
    },
    get received() {
      return received;
    },
    async append(chunk) {
      if (chunk.length > length - have) throw new Error(`${subject} has ${length} bytes, more are given`);
      await keepRoom(chunk.length);
      handle ??= await open(path, have > 0 ? 'r+' : 'w', 0o600);
      received += chunk.length;
      for (let written = 0; written < chunk.length; ) {
        const rest = chunk.subarray(written);
        const { bytesWritten } = await handle.write(rest, 0, rest.length, have).catch(translateFull);
        hash.update(rest.subarray(0, bytesWritten));
        written += bytesWritten;
        have += bytesWritten;
      }
      if (have < length) return;
      await close();
      const found = hash.digest('hex');
      if (found === sha256) return;
      await discard();
      throw new LeonoreError('archive.mismatch', `${subject} has the SHA-256 ${found} instead of ${sha256}`);
    },
    discard,
    close,
  };
}

/** What is here, in a state to be gone on with. Whole but with another digest, it is as good as nothing. */
async function readPart(path: string, { sha256, length }: PartName): Promise<{ have: number; hash: Hash }> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  const hash = createHash('sha256');
  if (size > 0 && size <= length) {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
    if (size < length || hash.copy().digest('hex') === sha256) return { have: size, hash };
  }
  await rm(path, { force: true });
  return { have: 0, hash: createHash('sha256') };
}

function translateFull(error: NodeJS.ErrnoException): never {
  if (error.code !== 'ENOSPC' && error.code !== 'EDQUOT') throw error;
  throw new LeonoreError('agent.disk-full', 'there is no space left for the download; free some and try again', {
    cause: error,
  });
}
