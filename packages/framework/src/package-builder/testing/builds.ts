/** For tests: published builds of a few files with real segments in a real store, and what a plan asks of them. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  artifactManifestSchema,
  DEFAULT_TENANT,
  platformKey,
  type Artifact,
  type FileEntry,
  type PackageFormat,
  type PlanStep,
  type Platform,
  type Sha256,
} from '@leonore/protocol';
import { openFileBlobs, openSqliteRepositories, type BlobStore, type Repositories } from '../../repositories/mod.ts';
import type { BuildRequest } from '../mod.ts';

export const sha256Of = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex') as Sha256;

export async function openStores(
  dir: string,
): Promise<{ repositories: Repositories; blobs: BlobStore } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const repositories = stack.use(await openSqliteRepositories({ file: join(dir, 'leonore.db') }));
  const blobs = stack.use(await openFileBlobs({ dir: join(dir, 'blobs') }));
  const resources = stack.move();
  return { repositories, blobs, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** In both compressions. The segments are no archives: nothing here unpacks them. */
export async function publish(
  { repositories, blobs }: { repositories: Repositories; blobs: BlobStore },
  name: string,
  version: string,
  options: { platform?: Platform; segmentSize?: number; encodings?: readonly ('gzip' | 'zstd')[] } = {},
): Promise<Artifact> {
  const { platform = {}, segmentSize = 1000, encodings = ['gzip', 'zstd'] } = options;
  const label = `${name} ${version} ${platformKey(platform)}`;
  const files: FileEntry[] = [1, 2, 3].map((n) => ({
    path: `binary/${name}/file-${n}`,
    mode: 0o644,
    size: n,
    sha256: sha256Of(`${label} ${n}`),
  }));
  const segments = [];
  for (const encoding of encodings) {
    const bytes = Buffer.alloc(segmentSize, `${label} ${encoding}`);
    segments.push({ encoding, sha256: await blobs.put(bytes), size: bytes.length });
  }
  const artifact: Artifact = {
    manifest: artifactManifestSchema.parse({ name, version, platform }),
    contentSha256: sha256Of(label),
    unpackedSize: 6,
    fileCount: files.length,
    segments,
    publishedAt: 1,
  };
  await repositories.write((set) => set.artifacts.insert(DEFAULT_TENANT, artifact, files));
  return artifact;
}

/** All of them, as new; `from`: they replace that version. */
export function requestFor(
  builds: readonly Artifact[],
  {
    formats = ['tar.gz'],
    platform = {},
    from,
  }: { formats?: readonly PackageFormat[]; platform?: Platform; from?: Artifact } = {},
): BuildRequest {
  const steps: PlanStep[] = builds.map(({ manifest: { name, version, platform: of }, contentSha256 }) => ({
    action: from ? 'update' : 'install',
    name,
    version,
    platform: of,
    contentSha256,
    ...(from ? { from: from.manifest.version } : {}),
    requested: true,
    because: 'requested',
    after: [],
  }));
  return {
    platform,
    formats,
    plan: { steps, remove: [] },
    artifact: (step) => builds.find(({ contentSha256 }) => contentSha256 === step.contentSha256),
    replaced: () => from,
  };
}
