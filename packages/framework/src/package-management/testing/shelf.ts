/** Package management for tests: real repositories and a real store in a folder, a clock that the test turns. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packArtifact } from '@leonore/app-package';
import { type ArtifactManifest, DEFAULT_TENANT, type Segment, type Sha256 } from '@leonore/protocol';
import { type ArtifactFiles, writeArtifact } from '@leonore/testkit';
import { type BlobStore, type FileBlobOptions, openFileBlobs, openSqliteRepositories } from '../../repositories/mod.ts';
import { createPackageManagement, createStore, type ArtifactLimits, type PackageManagement } from '../mod.ts';

export interface Packed {
  readonly manifest: ArtifactManifest;
  readonly segments: readonly Segment[];
  readonly bytes: ReadonlyMap<Sha256, Buffer>;
}

export type Shelf = Awaited<ReturnType<typeof openShelf>>;

export async function openShelf(
  options: {
    limits?: Partial<ArtifactLimits>;
    blobs?: Partial<FileBlobOptions>;
    /** Puts something between package management and the store. */
    between?: (blobs: BlobStore) => BlobStore;
  } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-shelf-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const clock = { now: 1_000_000_000 };
  const now = () => clock.now;
  const repositories = stack.use(await openSqliteRepositories({ file: join(dir, 'leonore.db') }));
  const blobs = stack.use(await openFileBlobs({ dir: join(dir, 'blobs'), now, ...options.blobs }));
  const deps = { repositories, blobs: options.between?.(blobs) ?? blobs, now };
  const packages = createPackageManagement(deps, { limits: options.limits });
  const nothing = { packages: 0, deltas: 0, segments: 0, bytes: 0 };
  const store = createStore({ ...deps, collect: () => Promise.resolve(nothing) });
  const resources = stack.move();

  return {
    dir,
    clock,
    blobs,
    repositories,
    packages,
    store,
    blobFile: (sha256: Sha256) => join(dir, 'blobs', sha256.slice(0, 2), sha256),
    async pack(files: ArtifactFiles): Promise<Packed> {
      const source = await writeArtifact(await mkdtemp(join(dir, 'artifact-')), files);
      const { manifest, segments } = await packArtifact(source, { outDir: await mkdtemp(join(dir, 'packed-')) });
      const bytes = new Map<Sha256, Buffer>();
      for (const { sha256, file } of segments) bytes.set(sha256, await readFile(file));
      return { manifest, segments: segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size })), bytes };
    },
    /** As a publisher does it: uploads what the node does not have, then publishes. */
    async publish(packed: Packed, by: PackageManagement = packages) {
      await upload(packed, by);
      return by.publish(DEFAULT_TENANT, { manifest: packed.manifest, segments: [...packed.segments] });
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

export async function upload({ segments, bytes }: Packed, by: PackageManagement): Promise<void> {
  for (const { sha256, size } of segments) {
    const { offset, complete } = await by.openUpload(sha256, size);
    if (!complete) await by.appendUpload(sha256, offset, one(bytes.get(sha256)?.subarray(offset)));
  }
}

async function* one(bytes: Uint8Array | undefined): AsyncGenerator<Uint8Array> {
  if (bytes) yield bytes;
}
