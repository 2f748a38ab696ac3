import { createHash } from 'node:crypto';
import { composePackage, packageIdOf } from '@leonore/app-package';
import {
  artifactLabel,
  LeonoreError,
  type Artifact,
  type Encoding,
  type FileEntry,
  type InstallPlan,
  type PackageId,
  type PackageSummary,
  type Page,
  type PlanStep,
  type Platform,
  type Segment,
  type Sha256,
  type Tenant,
} from '@leonore/protocol';
import type {
  BlobStore,
  PackageHashes,
  PackagePart,
  PackageRecord,
  PageQuery,
  Repositories,
} from '../repositories/mod.ts';
import type { ByteCache } from './byte-cache.ts';

export interface BuildRequest {
  readonly platform: Platform;
  /** Compressions the gateways of the class can unpack, best first. */
  readonly encodings: readonly Encoding[];
  readonly plan: InstallPlan;
  readonly artifact: (step: PlanStep) => Artifact | undefined;
}

type Component = { readonly step: PlanStep; readonly artifact: Artifact; readonly files: readonly FileEntry[] };

export interface PackageBuilder {
  /** Composes the package, or finds it: the same request gives the same package. Costs its header, whatever its size. */
  build(tenant: Tenant, request: BuildRequest): Promise<PackageRecord>;
  /** @throws package.unknown */
  find(tenant: Tenant, id: PackageId): Promise<PackageRecord>;
  /** @throws package.unknown */
  findByDigest(sha256: Sha256): Promise<PackageRecord>;
  list(tenant: Tenant, query: PageQuery): Promise<Page<PackageSummary>>;
  /** Bytes `start` to `end` (exclusive) of the package, from its parts. */
  read(record: PackageRecord, range?: { start: number; end: number }): AsyncIterable<Uint8Array>;
  /** Digests of the whole file, made once at its first delivery: DDI clients of other makers compare them. */
  hashes(tenant: Tenant, record: PackageRecord): Promise<PackageHashes>;
}

const MAX_KNOWN_PACKAGES = 500;

/** A short name of a class of gateways that get the same packages: platform and compressions. */
export function gatewayClassId(platform: Platform, encodings: readonly Encoding[]): string {
  return [platform.os ?? 'any', platform.arch ?? 'any', platform.libc ?? 'any', encodings.join('+')].join('-');
}

export function createPackageBuilder(deps: {
  repositories: Repositories;
  blobs: BlobStore;
  cache: ByteCache;
  now: () => number;
}): PackageBuilder {
  const { repositories, blobs, cache, now } = deps;
  /** Packages never change but for their hashes; reading one means parsing its whole manifest. */
  const known = new Map<string, PackageRecord>();
  const building = new Map<string, Promise<PackageRecord>>();
  const hashing = new Map<string, Promise<PackageHashes>>();

  /** What the plan brings, with builds and files. */
  async function components(tenant: Tenant, request: BuildRequest): Promise<readonly Component[]> {
    const found: Component[] = [];
    for (const step of request.plan.steps) {
      if (step.action === 'keep') continue;
      const artifact = request.artifact(step);
      if (!artifact) {
        throw new LeonoreError(
          'artifact.unknown',
          `the plan has ${step.name} ${step.version}, which the artifact repository does not hold`,
        );
      }
      found.push({ step, artifact, files: await repositories.read.artifacts.files(tenant, artifact.contentSha256) });
    }
    return found;
  }

  async function compose(tenant: Tenant, input: ReturnType<typeof composition>): Promise<PackageRecord> {
    const there = await find(tenant, input.id);
    if (there) return there;
    const composed = composePackage(input);
    const header = await blobs.put(composed.header);
    const trailer = await blobs.put(composed.trailer);
    const parts: PackagePart[] = [
      { sha256: header, length: composed.header.length },
      ...composed.manifest.components.map(({ segment }) => ({ sha256: segment.sha256, length: segment.length })),
      { sha256: trailer, length: composed.trailer.length },
    ];
    const record: PackageRecord = {
      summary: {
        id: input.id,
        encoding: input.encoding,
        sha256: composed.headerSha256,
        size: composed.size,
        headerSize: composed.header.length,
        gatewayClass: input.gatewayClass.id,
        components: input.components.map(({ name, version }) => ({ name, version })),
        createdAt: now(),
      },
      manifest: composed.manifest,
      parts,
    };
    await repositories.write((tx) => tx.packages.insert(tenant, record));
    return keep(tenant, record);
  }

  async function find(tenant: Tenant, id: PackageId): Promise<PackageRecord | undefined> {
    const hit = known.get(`${tenant}/${id}`);
    if (hit) return hit;
    const record = await repositories.read.packages.find(tenant, id);
    return record && keep(tenant, record);
  }

  function keep(tenant: Tenant, record: PackageRecord): PackageRecord {
    known.set(`${tenant}/${record.summary.id}`, record);
    for (const oldest of known.keys()) {
      if (known.size <= MAX_KNOWN_PACKAGES) break;
      known.delete(oldest);
    }
    return record;
  }

  async function* read(record: PackageRecord, range?: { start: number; end: number }): AsyncGenerator<Uint8Array> {
    const start = range?.start ?? 0;
    const end = range?.end ?? record.summary.size;
    let at = 0;
    for (const part of record.parts) {
      const from = Math.max(start - at, 0);
      const to = Math.min(end - at, part.length);
      at += part.length;
      if (from >= to) continue;
      if (cache.takes(part.length)) {
        const bytes = await cache.get(part.sha256, () => blobs.bytes(part.sha256));
        yield from === 0 && to === part.length ? bytes : bytes.subarray(from, to);
      } else {
        yield* blobs.read(part.sha256, { start: from, end: to });
      }
    }
  }

  async function digest(tenant: Tenant, record: PackageRecord): Promise<PackageHashes> {
    const hashes = { sha1: createHash('sha1'), md5: createHash('md5'), sha256: createHash('sha256') };
    for await (const bytes of read(record)) for (const hash of Object.values(hashes)) hash.update(bytes);
    const made = {
      sha1: hashes.sha1.digest('hex'),
      md5: hashes.md5.digest('hex'),
      sha256: hashes.sha256.digest('hex'),
    };
    await repositories.write((tx) => tx.packages.setHashes(tenant, record.summary.id, made));
    keep(tenant, { ...record, hashes: made });
    return made;
  }

  return {
    async build(tenant, request) {
      const input = composition(request, await components(tenant, request));
      return singleFlight(building, `${tenant}/${input.id}`, () => compose(tenant, input));
    },
    async find(tenant, id) {
      const record = await find(tenant, id);
      if (!record)
        throw new LeonoreError(
          'package.unknown',
          `there is no package ${id}; leonore package list shows what there is`,
        );
      return record;
    },
    async findByDigest(sha256) {
      const record = await repositories.read.packages.findByDigest(sha256);
      if (!record) throw new LeonoreError('package.unknown', `there is no package with the digest ${sha256}`);
      return record;
    },
    list: (tenant, query) => repositories.read.packages.list(tenant, query),
    read,
    async hashes(tenant, record) {
      if (record.hashes) return record.hashes;
      return singleFlight(hashing, `${tenant}/${record.summary.id}`, () => digest(tenant, record));
    },
  };
}

/** What the package is made of, with its id. Pure. */
function composition(request: BuildRequest, components: readonly Component[]) {
  const encoding = chooseEncoding(
    request.encodings,
    components.map(({ artifact }) => artifact),
  );
  const content = {
    encoding,
    gatewayClass: { id: gatewayClassId(request.platform, request.encodings), platform: request.platform },
    components: components.map(({ step, artifact, files }) => ({
      name: step.name,
      version: step.version,
      action: step.action === 'update' ? ('update' as const) : ('install' as const),
      ...(step.from === undefined ? {} : { replaces: step.from }),
      requested: step.requested,
      ...(artifact.manifest.installPath === undefined ? {} : { installPath: artifact.manifest.installPath }),
      after: step.after,
      ...(artifact.manifest.run === undefined ? {} : { run: artifact.manifest.run }),
      contentSha256: artifact.contentSha256,
      segment: segmentOf(artifact, encoding),
      files: [...files],
      unpackedSize: artifact.unpackedSize,
    })),
    keep: request.plan.steps
      .filter((step) => step.action === 'keep')
      .map(({ name, version, requested, after }) => ({ name, version, requested, after })),
    remove: request.plan.remove.map(({ name, version }) => ({ name, version })),
  };
  return { id: packageIdOf(content), ...content };
}

/** The first compression of the class that every component was published in. */
function chooseEncoding(accepted: readonly Encoding[], artifacts: readonly Artifact[]): Encoding {
  const fits = accepted.find((encoding) =>
    artifacts.every((artifact) => artifact.segments.some((s) => s.encoding === encoding)),
  );
  if (fits) return fits;
  const published = artifacts.map(
    (a) => `${artifactLabel(a.manifest)} as ${a.segments.map((s) => s.encoding).join(' and ')}`,
  );
  throw new LeonoreError(
    'agent.unsupported',
    `these gateways unpack ${accepted.join(' and ') || 'nothing'}, but the components are published otherwise: ${published.join('; ')}`,
  );
}

function segmentOf(artifact: Artifact, encoding: Encoding): Segment {
  const segment = artifact.segments.find((candidate) => candidate.encoding === encoding);
  if (!segment)
    throw new LeonoreError(
      'artifact.segment-missing',
      `${artifactLabel(artifact.manifest)} has no ${encoding} segment`,
    );
  return segment;
}

async function singleFlight<K, T>(running: Map<K, Promise<T>>, key: K, work: () => Promise<T>): Promise<T> {
  const other = running.get(key);
  if (other) return other;
  const started = work();
  running.set(key, started);
  try {
    return await started;
  } finally {
    running.delete(key);
  }
}
