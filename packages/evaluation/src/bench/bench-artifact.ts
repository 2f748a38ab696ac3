/** Artifacts made for measuring: a payload that nothing can compress, the same on every machine. */
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packArtifact } from '@leonore/app-package';
import type { createClient } from '@leonore/client';

/** `size` bytes that the seed alone decides: a key stream, so no compression finds anything in it. */
export function incompressible(size: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** Writes, packs and publishes NAME@VERSION with one payload file of `size` bytes. */
export async function publishBenchArtifact(
  client: Pick<ReturnType<typeof createClient>, 'uploadFile' | 'artifacts'>,
  folder: string,
  artifact: { name: string; version: string; size: number },
  signal: AbortSignal,
): Promise<void> {
  const { name, version, size } = artifact;
  const source = join(folder, `${name}-${version}`);
  const outDir = join(folder, `${name}-${version}-packed`);
  await mkdir(join(source, 'binary'), { recursive: true });
  await mkdir(outDir, { recursive: true });
  await writeFile(join(source, 'leonore.yaml'), `name: ${name}\nversion: ${version}\n`);
  await writeFile(join(source, 'binary', 'payload'), incompressible(size, `${name} ${version}`));
  const packed = await packArtifact(source, { outDir, encodings: ['gzip'] });
  for (const segment of packed.segments) {
    await client.uploadFile(segment.file, segment.sha256, segment.size, { signal });
  }
  const segments = packed.segments.map(({ encoding, sha256, size: bytes }) => ({ encoding, sha256, size: bytes }));
  await client.artifacts.publish({ manifest: packed.manifest, segments }, { signal });
}
