/** Makes packages, once for each kind of gateway, finds them again, and keeps those at hand that are asked for often. */
import { createHash } from 'node:crypto';
import {
  LeonoreError,
  type Artifact,
  type InstallPlan,
  type PackageFormat,
  type PackageId,
  type PackageSummary,
  type Page,
  type PlanStep,
  type Platform,
  type Sha256,
  type Tenant,
} from '@leonore/protocol';
import type {
  BlobStore,
  PackageBase,
  PackageHashes,
  PackageRecord,
  PageQuery,
  Repositories,
} from '../repositories/mod.ts';
import type { ByteCache } from './byte-cache.ts';
import { createPackageCollection, type PackageCollection } from './collection.ts';
import { createFileLists } from './file-lists.ts';
import { chooseFormat, type Component, type Format, type FormatInput } from './formats/mod.ts';
import { createPackageReader, type PackageReader } from './package-reader.ts';

export interface BuildRequest {
  readonly platform: Platform;
  /** What the gateways of the class install, best first. */
  readonly formats: readonly PackageFormat[];
  readonly plan: InstallPlan;
  readonly artifact: (step: PlanStep) => Artifact | undefined;
  /** The build that an update replaces, where it is known. */
  readonly replaced?: (step: PlanStep) => Artifact | undefined;
}

export interface PackageBuilder extends PackageReader, PackageCollection {
  /**
   * Composes the package, or finds it: the same request gives the same package. Costs its header, whatever its size.
   * @throws package.format when no format can carry the plan
   */
  build(tenant: Tenant, request: BuildRequest): Promise<PackageRecord>;
  /** @throws package.unknown */
  find(tenant: Tenant, id: PackageId): Promise<PackageRecord>;
  /** @throws package.unknown */
  findByDigest(sha256: Sha256): Promise<PackageRecord>;
  list(tenant: Tenant, query: PageQuery): Promise<Page<PackageSummary>>;
  /** Digests of the whole file, made once at its first delivery: DDI clients of other makers compare them. */
  hashes(tenant: Tenant, record: PackageRecord): Promise<PackageHashes>;
}

const MAX_KNOWN_PACKAGES = 500;
const MAX_KNOWN_FILES = 50_000;
const DAY_MS = 86_400_000;
/** Made by another and removed again between two looks, so often in a row: something is wrong. */
const MAX_TRIES = 5;

/** A short name of a class of gateways that get the same packages: platform and formats. */
export function gatewayClassId(platform: Platform, formats: readonly PackageFormat[]): string {
  return [platform.os ?? 'any', platform.arch ?? 'any', platform.libc ?? 'any', formats.join('+')].join('-');
}

export function createPackageBuilder(
  deps: {
    repositories: Repositories;
    blobs: BlobStore;
    cache: ByteCache;
    now: () => number;
    formats: readonly Format[];
  },
  /** How long a package stays that nothing needs, milliseconds since its last use. */
  options: { graceMs: number } = { graceMs: DAY_MS },
): PackageBuilder {
  const { repositories, now } = deps;
  const reader = createPackageReader(deps);
  const fileLists = createFileLists(repositories, { maxFiles: MAX_KNOWN_FILES });
  /** Packages never change but for their hashes; reading one means parsing its whole manifest. */
  const known = new Map<string, PackageRecord>();
  const collection = createPackageCollection(
    { repositories, now, onRemoved: ({ tenant, id }) => known.delete(`${tenant}/${id}`) },
    options,
  );
  const building = new Map<string, Promise<PackageRecord>>();
  const hashing = new Map<string, Promise<PackageHashes>>();

  async function inputOf(tenant: Tenant, { platform, formats, plan, artifact }: BuildRequest): Promise<FormatInput> {
    const components: Component[] = [];
    for (const step of plan.steps) {
      if (step.action === 'keep') continue;
      const build = artifact(step);
      if (!build) {
        throw new LeonoreError(
          'artifact.unknown',
          `the plan has ${step.name} ${step.version}, which the artifact repository does not hold`,
        );
      }
      components.push({ step, artifact: build, files: await fileLists.of(tenant, build.contentSha256) });
    }
    return {
      gatewayClass: { id: gatewayClassId(platform, formats), platform },
      components,
      keep: plan.steps
        .filter(({ action }) => action === 'keep')
        .map(({ name, version, requested, after }) => ({ name, version, requested, after })),
      remove: plan.remove.map(({ name, version }) => ({ name, version })),
    };
  }

  /** Who is quickest makes it, be it on another node: the others take that one. */
  async function compose(
    tenant: Tenant,
    format: Format,
    id: PackageId,
    input: FormatInput,
    bases: readonly PackageBase[],
  ): Promise<PackageRecord> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const there = await lookUp(tenant, id);
      if (there) return there;
      const { manifest, own, parts, ...made } = await format.compose(input);
      const record: PackageRecord = {
        summary: {
          id,
          format: format.format,
          ...(made.encoding === undefined ? {} : { encoding: made.encoding }),
          fileName: made.fileName,
          sha256: made.sha256,
          size: made.size,
          headerSize: made.headerSize,
          gatewayClass: input.gatewayClass.id,
          components: manifest.components.map(({ name, version }) => ({ name, version })),
          createdAt: now(),
        },
        manifest,
        parts,
        own,
        bases,
      };
      if (await repositories.write((tx) => tx.packages.insert(tenant, record))) return keep(tenant, record);
    }
    throw new LeonoreError(
      'server.internal',
      `the package ${id} comes and goes: it was removed as often as it was made`,
    );
  }

  /** As it is in the database: what is only in memory may have been collected. */
  async function lookUp(tenant: Tenant, id: PackageId): Promise<PackageRecord | undefined> {
    const hit = known.get(`${tenant}/${id}`);
    if (hit && (await repositories.read.packages.has(tenant, id))) return hit;
    known.delete(`${tenant}/${id}`);
    if (hit) return undefined;
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

  async function digest(tenant: Tenant, record: PackageRecord): Promise<PackageHashes> {
    const hashes = { sha1: createHash('sha1'), md5: createHash('md5'), sha256: createHash('sha256') };
    for await (const bytes of reader.read(record)) for (const hash of Object.values(hashes)) hash.update(bytes);
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
    ...reader,
    ...collection,
    async build(tenant, request) {
      const input = await inputOf(tenant, request);
      const format = chooseFormat(deps.formats, request.formats, input);
      const id = format.id(input);
      return singleFlight(building, `${tenant}/${id}`, () =>
        compose(tenant, format, id, input, basesOf(input.components, request)),
      );
    },
    async find(tenant, id) {
      const hit = known.get(`${tenant}/${id}`);
      if (hit) return hit;
      const record = await repositories.read.packages.find(tenant, id);
      if (record) return keep(tenant, record);
      throw new LeonoreError('package.unknown', `there is no package ${id}; leonore package list shows what there is`);
    },
    async findByDigest(sha256) {
      const record = await repositories.read.packages.findByDigest(sha256);
      if (!record) throw new LeonoreError('package.unknown', `there is no package with the digest ${sha256}`);
      return record;
    },
    list: (tenant, query) => repositories.read.packages.list(tenant, query),
    async hashes(tenant, record) {
      if (record.hashes) return record.hashes;
      return singleFlight(hashing, `${tenant}/${record.summary.id}`, () => digest(tenant, record));
    },
  };
}

function basesOf(components: readonly Component[], { replaced }: BuildRequest): readonly PackageBase[] {
  return components.flatMap(({ step }) => {
    const base = step.action === 'update' ? replaced?.(step) : undefined;
    return base ? [{ name: step.name, contentSha256: base.contentSha256 }] : [];
  });
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
