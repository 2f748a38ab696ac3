/** Artifact folders to measure with: made of bytes that nothing compresses, of a folder that is there, of real releases on npm. */
import { execFile } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { cp, mkdir, open, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LeonoreError } from '@leonore/protocol';

const run = promisify(execFile);
const DOWNLOAD_TIMEOUT_MS = 60_000;
const CHUNK = Buffer.alloc(2 ** 20);
/** Downloads stay here for the next run. */
const RELEASES = join(tmpdir(), 'leonore-bench-releases');

export interface SourceArtifact {
  readonly name: string;
  readonly version: string;
}

/** An artifact with one file of `size` bytes that its name and version alone decide. */
export async function makePayloadFolder(dir: string, artifact: SourceArtifact, size: number): Promise<string> {
  await writeManifest(dir, artifact);
  const key = createHash('sha256').update(`${artifact.name} ${artifact.version}`).digest().subarray(0, 16);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  await using file = await open(join(dir, 'binary', 'payload'), 'w');
  for (let left = size; left > 0; left -= CHUNK.length) {
    await file.write(stream.update(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK));
  }
  return dir;
}

/** An artifact with a copy of everything in `source`. */
export async function copyFolder(dir: string, artifact: SourceArtifact, source: string): Promise<string> {
  await writeManifest(dir, artifact);
  await cp(source, join(dir, 'binary'), { recursive: true });
  return dir;
}

/**
 * What npm distributes under a name and version, from whatever registry npm is set to.
 * @throws LeonoreError `server.unreachable` when it cannot be had
 */
export async function fetchRelease(
  dir: string,
  release: SourceArtifact & { readonly npm: string },
  signal: AbortSignal,
): Promise<string> {
  const { npm, version } = release;
  const folder = join(RELEASES, `${npm.replace('/', '-').replace('@', '')}-${version}`);
  const known = await stat(join(folder, 'package.json')).catch(() => undefined);
  if (!known) {
    await mkdir(folder, { recursive: true });
    try {
      const options = { cwd: folder, timeout: DOWNLOAD_TIMEOUT_MS, signal };
      const { stdout } = await run('npm', ['pack', `${npm}@${version}`, '--silent'], options);
      const file = stdout.trim().split('\n').at(-1) ?? '';
      // The manifest comes out last: a folder that has one is whole.
      await run('tar', ['-xzf', file, '--strip-components=1', '--exclude=package/package.json'], options);
      await run('tar', ['-xzf', file, '--strip-components=1', 'package/package.json'], options);
      await run('rm', [file], options);
    } catch (error) {
      signal.throwIfAborted();
      throw new LeonoreError('server.unreachable', `npm pack ${npm}@${version} did not work: is the registry there?`, {
        cause: error,
      });
    }
  }
  return await copyFolder(dir, release, folder);
}

async function writeManifest(dir: string, { name, version }: SourceArtifact): Promise<void> {
  await mkdir(join(dir, 'binary'), { recursive: true });
  await writeFile(join(dir, 'leonore.yaml'), `name: ${name}\nversion: ${version}\n`);
}
