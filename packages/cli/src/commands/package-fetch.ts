/**
 * `leonore package fetch`: brings a package to a file. What came already is kept in FILE.part and gone on from; the file
 * appears under its name only when the digests of its header and of every segment are right.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@leonore/client';
import { LeonoreError, type PackageDetails } from '@leonore/protocol';
import type { App } from '../app.ts';
import { formatBytes } from '../output/quantities.ts';
import { createTransferProgress } from '../progress/transfer-progress.ts';
import type { ConnectionFlags } from '../settings/connection.ts';

export async function fetchPackage(id: string, flags: ConnectionFlags & { file: string }, app: App): Promise<void> {
  const { terminal } = app;
  const client = await app.connect(flags);
  const details = await client.packages.get(id, { signal: terminal.signal });
  const draft = `${flags.file}.part`;
  {
    using progress = createTransferProgress(terminal, `fetching ${details.id}`, details.size);
    await download(client, details, draft, progress.show, terminal.signal);
  }
  const wrong = await findWrongRange(draft, details);
  if (wrong !== undefined) {
    await rm(draft, { force: true });
    throw new LeonoreError(
      'archive.mismatch',
      `${wrong} of ${details.id} has not its digest; the download was removed, fetch it again`,
    );
  }
  await rename(draft, flags.file);
  terminal.err(`${flags.file}: ${formatBytes(details.size)}, every digest checked`);
}

async function download(
  client: Client,
  details: PackageDetails,
  draft: string,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const have = await stat(draft).then(
    ({ size }) => size,
    () => 0,
  );
  if (have === details.size) return;
  const offset = have < details.size ? have : 0;
  const response = await client.packages.download(details.sha256, { offset }, { signal });
  const from = response.status === 206 ? offset : 0;
  let written = from;
  const source = Readable.fromWeb(response.body ?? new ReadableStream());
  source.on('data', (chunk: Uint8Array) => onProgress((written += chunk.length)));
  try {
    await pipeline(source, createWriteStream(draft, from === 0 ? {} : { flags: 'r+', start: from }), { signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new LeonoreError(
      'server.unreachable',
      `the download stopped after ${written} of ${details.size} bytes; the same call goes on from there`,
      {
        cause: error,
        details: { url: client.baseUrl },
      },
    );
  }
  if (written !== details.size) {
    throw new LeonoreError(
      'server.unreachable',
      `the download ended after ${written} of ${details.size} bytes; the same call goes on from there`,
      {
        details: { url: client.baseUrl },
      },
    );
  }
}

/** The part that is not what it should be, in words. */
async function findWrongRange(
  file: string,
  { headerSize, sha256, manifest }: PackageDetails,
): Promise<string | undefined> {
  if ((await hashRange(file, 0, headerSize)) !== sha256) return 'the header';
  for (const { name, segment } of manifest.components) {
    if ((await hashRange(file, headerSize + segment.offset, segment.length)) !== segment.sha256)
      return `the segment ${name}`;
  }
  return undefined;
}

async function hashRange(file: string, start: number, length: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { start, end: start + length - 1 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
