/** For tests: deltas over a real database and real blobs in a folder of their own, with builds whose tars are any bytes. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { applyDelta } from '@leonore/app-package';
import {
  artifactManifestSchema,
  DEFAULT_TENANT,
  gatewayProfileSchema,
  type Artifact,
  type GatewayProfile,
  type Platform,
  type Sha256,
} from '@leonore/protocol';
import {
  type DeltaPair,
  openFileBlobs,
  openSqliteRepositories,
  type PackageRecord,
} from '../../../repositories/mod.ts';
import { createDeltaMaker, type DeltaMaker } from '../delta-maker.ts';
import { createDeltas, type DeltasOptions } from '../deltas.ts';

export type DeltaRig = Awaited<ReturnType<typeof openDeltaRig>>;

export interface Build {
  readonly artifact: Artifact;
  readonly tar: Buffer;
}

export const ABLE: GatewayProfile = gatewayProfileSchema.parse({ deltas: ['zstd'] });

/** `clock`: what counts as now, milliseconds. */
export async function openDeltaRig(
  dir: string,
  { maker = createDeltaMaker(), ...options }: Partial<DeltasOptions> & { maker?: DeltaMaker } = {},
) {
  await using stack = new AsyncDisposableStack();
  const clock = { now: 1_000_000 };
  const errors: unknown[] = [];
  const repositories = stack.use(await openSqliteRepositories({ file: join(dir, 'leonore.db') }));
  const blobs = stack.use(await openFileBlobs({ dir: join(dir, 'blobs') }));
  const deltas = stack.use(
    createDeltas(
      { repositories, blobs, maker, now: () => clock.now, onError: (error) => void errors.push(error) },
      { budgetBytes: 1e9, maxPairBytes: 1e9, ...options },
    ),
  );
  const resources = stack.move();

  return {
    clock,
    errors,
    repositories,
    blobs,
    deltas,
    async publish(version: string, tar: Buffer, platform: Platform = {}): Promise<Build> {
      const segments = [];
      for (const [encoding, bytes] of [
        ['gzip', gzipSync(tar)],
        ['zstd', zstdCompressSync(tar)],
      ] as const) {
        segments.push({ encoding, sha256: await blobs.put(bytes), size: bytes.length });
      }
      const manifest = artifactManifestSchema.parse({ name: 'svm', version, platform });
      const artifact: Artifact = {
        manifest,
        contentSha256: createHash('sha256').update(tar).digest('hex') as Sha256,
        unpackedSize: tar.length,
        fileCount: 1,
        segments,
        publishedAt: 1,
      };
      await repositories.write((set) => set.artifacts.insert(DEFAULT_TENANT, artifact, []));
      return { artifact, tar };
    },
    /** The bytes of a delta as a gateway gets them. */
    async download(record: PackageRecord, sha256: Sha256): Promise<Buffer | undefined> {
      const open = await deltas.open(record, sha256);
      return open && Buffer.concat(await Array.fromAsync(open.read({ start: 0, end: open.size })));
    },
    /** Digests of the blobs that are no segments. */
    async deltaBlobs(): Promise<readonly Sha256[]> {
      const found: Sha256[] = [];
      for await (const { sha256 } of blobs.list()) found.push(sha256);
      const segments = await repositories.read.artifacts.segmentUsers(found);
      return found.filter((sha256) => !segments.some(({ segment }) => segment.sha256 === sha256));
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The next release: the same but for a few bytes. */
export function nextRelease(tar: Buffer): Buffer {
  const at = Math.floor(tar.length / 3);
  return Buffer.concat([tar.subarray(0, at), randomBytes(50), tar.subarray(at)]);
}

export function pairOf(from: Build, to: Build): DeltaPair {
  return { from: from.artifact.contentSha256, to: to.artifact.contentSha256 };
}

/** What a plan that goes from one to the other comes to, as far as deltas look at it. */
export function updatePackage(from: Build, to: Build, more: { encoding?: undefined } = {}): PackageRecord {
  const { manifest, contentSha256, segments } = to.artifact;
  const [segment] = segments;
  return {
    summary: { encoding: 'gzip', ...more },
    manifest: { components: [{ name: manifest.name, contentSha256, segment: { length: segment?.size } }] },
    bases: [{ name: manifest.name, contentSha256: from.artifact.contentSha256 }],
  } as unknown as PackageRecord;
}

export async function applied(delta: Uint8Array, from: Build, maxBytes: number): Promise<Buffer> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(delta);
  }
  return Buffer.concat(await Array.fromAsync(applyDelta(source(), from.tar, { maxBytes })));
}
