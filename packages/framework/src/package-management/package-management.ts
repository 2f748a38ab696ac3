import { inspectImage, inspectSegment, type SegmentContents } from '@leonore/app-package';
import {
  artifactLabel,
  CONTROL_SCRIPTS,
  LeonoreError,
  platformKey,
  type Artifact,
  type ArtifactManifest,
  type Page,
  type PublishRequest,
  type Segment,
  type Sha256,
  type Tenant,
  type UploadStatus,
} from '@leonore/protocol';
import type { BlobStore, PageQuery, Repositories } from '../repositories/mod.ts';
import { collectBlobs, type Collected } from './collect-blobs.ts';
import { type ArtifactLimits, checkContents, checkSegmentSize, DEFAULT_LIMITS } from './limits.ts';
import { createSegmentHolds } from './segment-holds.ts';

export interface PackageManagementOptions {
  readonly limits?: Partial<ArtifactLimits> | undefined;
}

export interface PackageManagement {
  openUpload(sha256: Sha256, size: number): Promise<UploadStatus>;
  /** @throws upload.unknown */
  uploadStatus(sha256: Sha256): Promise<UploadStatus>;
  /** @throws upload.unknown, upload.offset, upload.digest, upload.too-large, storage.full */
  appendUpload(sha256: Sha256, offset: number, bytes: AsyncIterable<Uint8Array>): Promise<UploadStatus>;
  /**
   * Publishes a build whose segments are uploaded. The same build again is answered with `created: false`.
   * @throws artifact.conflict, artifact.segment-missing, archive.*
   */
  publish(tenant: Tenant, request: PublishRequest): Promise<{ artifact: Artifact; created: boolean }>;
  list(tenant: Tenant, query: PageQuery & { name?: string | undefined }): Promise<Page<Artifact>>;
  /** Builds of a name or of one version, newest first. @throws artifact.unknown, saying what exists */
  builds(tenant: Tenant, name: string, version?: string): Promise<readonly Artifact[]>;
  /** No new installation takes it from now on; who has it keeps it. @throws artifact.unknown */
  withdraw(tenant: Tenant, name: string, version: string, reason: string): Promise<number>;
  /** Takes away what was uploaded or made before `before` (ms) and nothing refers to. */
  collect(before: number): Promise<Collected>;
}

export function createPackageManagement(
  deps: {
    repositories: Repositories;
    blobs: BlobStore;
    now: () => number;
    onPublished?: (tenant: Tenant, artifact: Artifact) => void;
  },
  options: PackageManagementOptions,
): PackageManagement {
  const { repositories, blobs, now } = deps;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const holds = createSegmentHolds();
  /** What came by upload and is no build's yet: goes when its publication is refused. */
  const uploaded = new Set<Sha256>();

  async function uploadStatus(sha256: Sha256): Promise<UploadStatus> {
    const status = await blobs.uploadStatus(sha256);
    if (!status) {
      throw new LeonoreError('upload.unknown', `there is no upload of ${sha256}; open it first with PUT and its size`);
    }
    return { sha256, ...status };
  }

  /** Takes away segments that no build uses, so that a refused publication leaves nothing behind. */
  async function dropUnused(segments: readonly Segment[]): Promise<void> {
    for (const { sha256 } of segments) {
      if (!uploaded.has(sha256)) continue;
      await holds.takeAway(sha256, async () => {
        const users = await repositories.read.artifacts.segmentUsers([sha256]);
        uploaded.delete(sha256);
        if (users.length === 0) await blobs.remove(sha256);
      });
    }
  }

  async function existingBuild(tenant: Tenant, manifest: ArtifactManifest): Promise<Artifact | undefined> {
    const builds = await repositories.read.artifacts.builds(tenant, manifest.name, manifest.version);
    return builds.find((build) => platformKey(build.manifest.platform) === platformKey(manifest.platform));
  }

  async function builds(tenant: Tenant, name: string, version?: string): Promise<readonly Artifact[]> {
    const found = await repositories.read.artifacts.builds(tenant, name, version);
    if (found.length > 0) return found;
    const others = version === undefined ? [] : await repositories.read.artifacts.builds(tenant, name);
    const versions = [...new Set(others.map((build) => build.manifest.version))];
    throw new LeonoreError(
      'artifact.unknown',
      versions.length > 0
        ? `${name} has no version ${version}; it has ${versions.slice(0, 10).join(', ')}`
        : `there is no artifact ${name}; leonore artifact list shows what there is`,
      { details: { name, version, versions } },
    );
  }

  async function inspect(manifest: ArtifactManifest, segments: readonly Segment[]): Promise<SegmentContents> {
    checkEncodings(manifest, segments);
    let first: { segment: Segment; contents: SegmentContents } | undefined;
    for (const segment of segments) {
      const source = blobs.read(segment.sha256);
      const contents =
        segment.encoding === 'raw'
          ? await inspectImage(source, { name: manifest.name, file: manifest.image?.file ?? '' })
          : await inspectSegment(source, { encoding: segment.encoding, name: manifest.name });
      if (first && first.contents.contentSha256 !== contents.contentSha256) {
        throw new LeonoreError(
          'archive.mismatch',
          `the ${segment.encoding} segment of ${artifactLabel(manifest)} does not hold the same content as its ${first.segment.encoding} segment; pack it again and publish both`,
        );
      }
      first ??= { segment, contents };
    }
    if (!first) throw new LeonoreError('request.invalid', 'a publication needs at least one segment');
    checkControl(manifest, first.contents);
    checkContents(manifest, first.contents, limits);
    return first.contents;
  }

  async function publishChecked(
    tenant: Tenant,
    request: PublishRequest,
  ): Promise<{ artifact: Artifact; created: boolean }> {
    const { manifest, segments } = request;
    const label = artifactLabel(manifest);
    for (const segment of segments) {
      const size = await blobs.size(segment.sha256);
      if (size === segment.size) continue;
      throw new LeonoreError(
        'artifact.segment-missing',
        size === undefined
          ? `the ${segment.encoding} segment ${segment.sha256} of ${label} is not uploaded; upload it whole, then publish again`
          : `the ${segment.encoding} segment ${segment.sha256} of ${label} has ${size} bytes, the publication says ${segment.size}`,
      );
    }
    const contents = await inspect(manifest, segments);
    const artifact: Artifact = {
      manifest,
      contentSha256: contents.contentSha256,
      unpackedSize: contents.unpackedSize,
      fileCount: contents.files.length,
      segments,
      publishedAt: now(),
    };
    const outcome = await repositories.write((tx) => tx.artifacts.insert(tenant, artifact, contents.files));
    if (outcome === 'created') {
      for (const { sha256 } of segments) uploaded.delete(sha256);
      deps.onPublished?.(tenant, artifact);
      return { artifact, created: true };
    }
    const existing = await existingBuild(tenant, manifest);
    if (outcome === 'same' && existing) {
      await checkHealed(existing);
      return { artifact: existing, created: false };
    }
    throw new LeonoreError(
      'artifact.conflict',
      existing && existing.contentSha256 === artifact.contentSha256
        ? `${label} is already published with another manifest. A published build never changes: raise the version in leonore.yaml`
        : `${label} is already published with other content. A published build never changes: raise the version in leonore.yaml`,
      { details: { published: existing?.contentSha256, offered: artifact.contentSha256 } },
    );
  }

  /** Publishing a build again brings lost bytes back, if they are the same bytes. */
  async function checkHealed(existing: Artifact): Promise<void> {
    for (const { sha256, encoding } of existing.segments) {
      if ((await blobs.size(sha256)) !== undefined) continue;
      throw new LeonoreError(
        'artifact.segment-missing',
        `${artifactLabel(existing.manifest)} is published, but the store has lost its ${encoding} segment ${sha256}, and what was offered is packed otherwise (by another version of the compressor); publish it with the leonore that published it first, restore the blob from a backup, or raise the version`,
        { details: { sha256 } },
      );
    }
  }

  return {
    async openUpload(sha256, size) {
      checkSegmentSize(size, limits);
      return { sha256, size, ...(await blobs.openUpload(sha256, size)) };
    },
    uploadStatus,
    async appendUpload(sha256, offset, bytes) {
      const before = await uploadStatus(sha256);
      const after = await blobs.appendUpload(sha256, offset, bytes);
      if (after.complete && !before.complete) uploaded.add(sha256);
      return { sha256, size: before.size, ...after };
    },
    async publish(tenant, request) {
      const digests = request.segments.map(({ sha256 }) => sha256);
      let unused = request.segments;
      try {
        await holds.hold(digests);
        for (const sha256 of digests) await blobs.touch(sha256);
        const result = await publishChecked(tenant, request);
        const used = new Set(result.artifact.segments.map(({ sha256 }) => sha256));
        // The same content may come compressed otherwise (by another zlib): what is stored stays, the newcomer goes.
        unused = request.segments.filter(({ sha256 }) => !used.has(sha256));
        return result;
      } finally {
        holds.release(digests);
        await dropUnused(unused);
      }
    },
    list: (tenant, query) => repositories.read.artifacts.list(tenant, query),
    builds,
    collect: (before) => collectBlobs({ repositories, blobs, holds }, before),
    async withdraw(tenant, name, version, reason) {
      await builds(tenant, name, version);
      return repositories.write((tx) => tx.artifacts.withdraw(tenant, name, version, now(), reason));
    },
  };
}

/** An image is one file as it is; anything else is packed. */
function checkEncodings(manifest: ArtifactManifest, segments: readonly Segment[]): void {
  const label = artifactLabel(manifest);
  const raw = segments.filter(({ encoding }) => encoding === 'raw').length;
  if (manifest.kind !== 'image') {
    if (raw === 0) return;
    throw new LeonoreError(
      'archive.mismatch',
      `${label} is published as a raw file, which only an image is; pack it with "leonore artifact pack", or write kind: image into leonore.yaml`,
    );
  }
  if (raw !== 1 || segments.length !== 1) {
    throw new LeonoreError(
      'archive.mismatch',
      `${label} is an image, which is published as one raw segment: the file itself`,
    );
  }
  if (manifest.image?.file === undefined) {
    throw new LeonoreError(
      'request.invalid',
      `${label} is an image, but its manifest does not say what its file is called; write image.file, or let "leonore artifact publish" do it`,
    );
  }
}

/** Control scripts are among those a gateway knows, and what is to be kept running has a `start`. */
function checkControl(manifest: ArtifactManifest, contents: SegmentContents): void {
  const prefix = `control/${manifest.name}/`;
  const scripts = contents.files.filter((file) => file.path.startsWith(prefix));
  for (const script of scripts) {
    const name = script.path.slice(prefix.length);
    if (!CONTROL_SCRIPTS.some((known) => known === name)) {
      throw new LeonoreError(
        'archive.mismatch',
        `${script.path} is no control script; they are ${CONTROL_SCRIPTS.join(', ')}`,
      );
    }
    if (script.mode !== 0o755) {
      throw new LeonoreError('archive.mismatch', `${script.path} is not executable; chmod +x it and pack again`);
    }
  }
  if (manifest.run && !scripts.some((script) => script.path === `${prefix}start`)) {
    throw new LeonoreError(
      'archive.mismatch',
      `${artifactLabel(manifest)} has "run" in its manifest but no control/start; add one or take "run" out`,
    );
  }
}
