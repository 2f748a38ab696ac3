import { inspectSegment, type SegmentContents } from '@leonore/app-package';
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

export interface PackageManagementOptions {
  /** Largest segment that is taken, bytes. */
  readonly maxSegmentSize: number;
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
}

export function createPackageManagement(
  deps: { repositories: Repositories; blobs: BlobStore; now: () => number },
  options: PackageManagementOptions,
): PackageManagement {
  const { repositories, blobs, now } = deps;
  /** Segments that a publication is working on: a failing one beside it must not take them away. */
  const inUse = new Map<Sha256, number>();
  /** Segments that are being taken away: a publication that names one waits, and finds it missing. */
  const dropping = new Map<Sha256, Promise<void>>();
  /** What came by upload and is no build's yet. Nothing else is ever taken away: pieces of packages are blobs too. */
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
      if (!uploaded.has(sha256) || inUse.has(sha256) || dropping.has(sha256)) continue;
      const dropped = drop(sha256).finally(() => dropping.delete(sha256));
      dropping.set(sha256, dropped);
      await dropped;
    }
  }

  async function drop(sha256: Sha256): Promise<void> {
    const used = await repositories.read.artifacts.usesSegment(sha256);
    if (inUse.has(sha256)) return;
    uploaded.delete(sha256);
    if (!used) await blobs.remove(sha256);
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
    let first: { segment: Segment; contents: SegmentContents } | undefined;
    for (const segment of segments) {
      const source = blobs.read(segment.sha256);
      const contents = await inspectSegment(source, { encoding: segment.encoding, name: manifest.name });
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
      return { artifact, created: true };
    }
    const existing = await existingBuild(tenant, manifest);
    if (outcome === 'same' && existing) {
      await dropUnusedAlternatives(existing, segments);
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

  /** The same content may come compressed otherwise (another zlib): what is stored stays, the newcomer goes. */
  async function dropUnusedAlternatives(existing: Artifact, offered: readonly Segment[]): Promise<void> {
    const kept = new Set(existing.segments.map((segment) => segment.sha256));
    for (const segment of offered) if (!kept.has(segment.sha256)) release(segment.sha256);
    await dropUnused(offered.filter((segment) => !kept.has(segment.sha256)));
    for (const segment of offered) if (!kept.has(segment.sha256)) hold(segment.sha256);
  }

  function hold(sha256: Sha256): void {
    inUse.set(sha256, (inUse.get(sha256) ?? 0) + 1);
  }

  function release(sha256: Sha256): void {
    const left = (inUse.get(sha256) ?? 1) - 1;
    if (left > 0) inUse.set(sha256, left);
    else inUse.delete(sha256);
  }

  return {
    async openUpload(sha256, size) {
      if (size > options.maxSegmentSize) {
        throw new LeonoreError(
          'upload.too-large',
          `this segment has ${size} bytes and the limit is ${options.maxSegmentSize}; raise it with --max-segment-size on the node`,
          { details: { limit: options.maxSegmentSize, size } },
        );
      }
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
      for (const segment of request.segments) hold(segment.sha256);
      let failed = true;
      try {
        for (const { sha256 } of request.segments) await dropping.get(sha256);
        const result = await publishChecked(tenant, request);
        failed = false;
        return result;
      } finally {
        for (const segment of request.segments) release(segment.sha256);
        if (failed) await dropUnused(request.segments);
      }
    },
    list: (tenant, query) => repositories.read.artifacts.list(tenant, query),
    builds,
    async withdraw(tenant, name, version, reason) {
      await builds(tenant, name, version);
      return repositories.write((tx) => tx.artifacts.withdraw(tenant, name, version, now(), reason));
    },
  };
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
