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

/** Bytes `start` to `end` (exclusive) of the file. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** The part that is not what it should be, in words. */
async function findWrongRange(file: string, details: PackageDetails): Promise<string | undefined> {
  const { format, headerSize, manifest } = details;
  const begin = format === 'tar.gz' || format === 'tar.zst' ? headerSize : 0;
  const segments = manifest.components.map(({ name, segment: { offset, length, sha256 } }) => {
    const start = begin + offset;
    return { name, sha256, start, end: start + length };
  });
  const named = namingBytes(details, segments);
  if (named.length > 0 && (await hashRanges(file, named)) !== details.sha256) return 'the header';
  for (const segment of segments) {
    if ((await hashRanges(file, [segment])) !== segment.sha256) return `the segment ${segment.name}`;
  }
  return undefined;
}

/** What a package is named by: an archive by its header, a `.swu` by all that lies around its segments, an image by itself. */
function namingBytes({ format, headerSize, size }: PackageDetails, segments: readonly Range[]): readonly Range[] {
  switch (format) {
    case 'tar.gz':
    case 'tar.zst':
      return [{ start: 0, end: headerSize }];
    case 'swu':
      return [...segments, { start: size, end: size }].map(({ start }, i) => ({
        start: segments[i - 1]?.end ?? 0,
        end: start,
      }));
    case 'image':
      return [];
    default:
      return format satisfies never;
  }
}

async function hashRanges(file: string, ranges: readonly Range[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { start, end } of ranges) {
    if (start === end) continue;
    for await (const chunk of createReadStream(file, { start, end: end - 1 })) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
