/**
 * From a task to an unpacked package in staging: asks whether the gateway fits and has room, brings what is not here yet,
 * verifies. What does not fit is refused as soon as the header is here, before the rest is paid for; nothing outside of
 * downloads/ and staging/ is touched.
 */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { packageSize, readPackageHeader } from '@leonore/app-package';
import { type GatewayProfile, LeonoreError, type PackageManifest, type Sha256 } from '@leonore/protocol';
import {
  type AgentTask,
  type Download,
  type DownloadPackageOptions,
  type Downloads,
  downloadPackage,
  errorText,
  type Logger,
  type PackageSink,
} from '../connectivity/mod.ts';
import { fetchComponents, isDamage } from './fetch-components.ts';
import type { AgentFolder } from './folder.ts';
import type { InstalledSet } from './installed.ts';
import { createPackageSink, type Piece } from './package-sink.ts';
import { deltaName, headerName, partsOf, segmentName } from './part-names.ts';
import { discardDownloads, openPartStore, type PartStore } from './part-store.ts';
import { type Plan, planChange } from './plan.ts';
import { createRoom, SPARE_BYTES } from './room.ts';
import { headerFirst, type Memory } from './plan-fetch.ts';
import type { AirTally } from './task-record.ts';

/** The task is refused before anything was touched; the message says why. */
export class Refusal extends Error {}

export interface FetchPackageDeps {
  readonly folder: AgentFolder;
  readonly connectivity: Downloads;
  readonly profile: () => Promise<GatewayProfile>;
  readonly installed: () => InstalledSet;
  /** The versions below which components do not go by themselves. */
  readonly floors: () => Readonly<Record<string, string>>;
  /** Awaited when everything is here, before it is unpacked; what it throws ends the call. */
  readonly beforeUnpack?: () => Promise<void>;
  /** Why this gateway does not install it, in words. Asked as soon as the header is here. */
  readonly refusal?: (manifest: PackageManifest, plan: Plan) => Promise<string | undefined>;
  readonly freeBytes: () => Promise<number>;
  readonly memory: () => Memory;
  readonly logger: Logger;
  /** For what is tried again and again. */
  readonly repeated?: Logger | undefined;
  readonly retry?: { readonly initialMs: number; readonly maxMs: number } | undefined;
}

export interface FetchedPackage {
  readonly manifest: PackageManifest;
  /** The folder that it was unpacked to. */
  readonly staged: string;
  /** Bytes of package and deltas that came over the air for this call. */
  readonly bytes: number;
  /** By component what of these was for it. */
  readonly bytesOf: ReadonlyMap<string, number>;
}

/** @throws Refusal; LeonoreError `archive.*`, `agent.download`...; the signal's reason. */
export async function fetchPackage(
  deps: FetchPackageDeps,
  task: AgentTask,
  signal: AbortSignal,
  air: AirTally = { bytes: 0, interruptions: 0 },
): Promise<FetchedPackage> {
  if (task.deltaFault !== undefined) {
    deps.logger.warn('offers of deltas are not used', { action: task.actionId, why: task.deltaFault });
  }
  await requireSpace(deps, task.headerSize, new Set([task.headerSha256]));
  await using parts = openPartStore(deps.folder.downloads, createRoom(deps.freeBytes));
  for (let attempt = 0; ; attempt++) {
    try {
      return await fetchOnce({ ...deps, parts, air }, task, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isDamage(error) || attempt > 0) throw error;
      deps.logger.warn('the package is not what it should be; loading anew what is wrong', { error: errorText(error) });
    }
  }
}

/** Deletes downloads but for those of this task's package, so that bringing it again costs what is missing. */
export async function discardOtherDownloads(folder: AgentFolder, task: AgentTask): Promise<void> {
  await using parts = openPartStore(folder.downloads);
  const header = await parts.part(headerName(task));
  const manifest = header.have === header.length ? await readHeader(parts, task).catch(() => undefined) : undefined;
  await discardDownloads(folder.downloads, manifest && partsOf(task, manifest));
}

async function fetchOnce(
  deps: FetchPackageDeps & { readonly parts: PartStore; readonly air: AirTally },
  task: AgentTask,
  signal: AbortSignal,
): Promise<FetchedPackage> {
  const { air, folder, logger, parts } = deps;
  const onBytes = (count: number): void => {
    air.bytes += count;
  };
  const download = (what: Download, sink: PackageSink, options: DownloadPackageOptions = {}): Promise<void> =>
    downloadPackage(deps.connectivity, what, sink, {
      ...options,
      signal,
      ...deps.retry,
      onRetry: (error, delayMs) => {
        air.interruptions += 1;
        (deps.repeated ?? logger).warn('the download was interrupted; trying again', {
          error: errorText(error),
          at: sink.position().offset,
          inMs: Math.round(delayMs),
        });
      },
    });
  const manifest = await fetchHeader({ ...deps, download, onBytes }, task);
  const staged = join(folder.staging, task.actionId);
  await fetchComponents(
    {
      ...deps,
      download,
      onBytes,
      requireSpace: (bytesToLoad) => requireRoomFor(deps, task, manifest, bytesToLoad),
      keepRoom: createRoom(deps.freeBytes),
    },
    task,
    manifest,
    { staged, signal },
  );
  const bytesOf = new Map<string, number>();
  for (const component of manifest.components) {
    const names = [segmentName(component), ...task.deltas.filter(({ name }) => name === component.name).map(deltaName)];
    let bytes = 0;
    for (const name of names) bytes += (await parts.part(name)).received;
    bytesOf.set(component.name, bytes);
  }
  return { manifest, staged, bytes: air.bytes, bytesOf };
}

interface FetchHeaderDeps extends FetchPackageDeps {
  readonly parts: PartStore;
  readonly download: (what: Download, sink: PackageSink) => Promise<void>;
  readonly onBytes: (count: number) => void;
}

/** The header, and with it the whole package where nothing of it can be here already. */
async function fetchHeader(deps: FetchHeaderDeps, task: AgentTask): Promise<PackageManifest> {
  const { parts } = deps;
  const header: Piece = { start: 0, part: await parts.part(headerName(task)) };
  if (header.part.have === header.part.length) return judge(deps, task);
  const onlyHeader = headerFirst(task, {
    installed: Object.keys(deps.installed()).length,
    holdsParts: await parts.holdsOtherThan(task.headerSha256),
  });
  let manifest: PackageManifest | undefined;
  let pieces: readonly Piece[] = [header];
  const sink = createPackageSink({
    size: task.size,
    pieces: () => pieces,
    toTheEnd: () => !onlyHeader && manifest === undefined,
    etag: await parts.etag(task.headerSha256),
    onEtag: (etag) => parts.setEtag(task.headerSha256, etag),
    onPiece: async (piece) => {
      if (piece !== header) return;
      manifest = await judge(deps, task);
      if (onlyHeader) return;
      pieces = [header, ...(await segmentPieces(parts, task, manifest))];
      const missing = pieces.reduce((sum, { part }) => sum + part.length - part.have, 0);
      await requireRoomFor(deps, task, manifest, missing);
    },
    onBytes: deps.onBytes,
  });
  await deps.download(task, sink);
  return manifest ?? judge(deps, task);
}

async function segmentPieces(parts: PartStore, task: AgentTask, manifest: PackageManifest): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const component of manifest.components) {
    const part = await parts.part(segmentName(component));
    pieces.push({ start: task.headerSize + component.segment.offset, part });
  }
  return pieces;
}

async function readHeader(parts: PartStore, task: AgentTask): Promise<PackageManifest> {
  const { path } = await parts.part(headerName(task));
  return readPackageHeader(createReadStream(path), {
    headerSize: task.headerSize,
    headerSha256: task.headerSha256,
    encoding: task.encoding,
  });
}

/** Reads the header and refuses a package that this gateway cannot take. */
async function judge(
  deps: FetchPackageDeps & { readonly parts: PartStore },
  task: AgentTask,
): Promise<PackageManifest> {
  const manifest = await readHeader(deps.parts, task);
  if (manifest.id !== task.packageId) {
    throw new Refusal(`the package is ${manifest.id}, the task names ${task.packageId}`);
  }
  const size = packageSize(manifest, task.headerSize);
  if (size !== task.size) {
    throw new LeonoreError(
      'archive.mismatch',
      `the package has ${size} bytes according to its header, ${task.size} were announced`,
    );
  }
  if (manifest.gatewayClass.id !== task.gatewayClass) {
    throw new Refusal(
      `the package is for gateways of class ${manifest.gatewayClass.id}, the task for ${task.gatewayClass}`,
    );
  }
  const { platform } = manifest.gatewayClass;
  const own = await deps.profile();
  for (const key of ['os', 'arch', 'libc'] as const) {
    const wanted = platform[key];
    if (wanted !== undefined && wanted !== own[key]) {
      throw new Refusal(`the package is for ${key} ${wanted}, this gateway has ${own[key] ?? 'none known'}`);
    }
  }
  const guard = { floors: deps.floors(), meant: task.downgrade ?? [] };
  const planned = planChange(deps.installed(), manifest, task.sequence, guard);
  if (planned.outcome === 'refused') throw new Refusal(`the package does not fit this gateway: ${planned.why}`);
  const refused = await deps.refusal?.(manifest, planned.plan);
  if (refused !== undefined) throw new Refusal(refused);
  return manifest;
}

function requireRoomFor(
  deps: FetchPackageDeps,
  task: AgentTask,
  manifest: PackageManifest,
  bytesToLoad: number,
): Promise<void> {
  const unpacked = manifest.components.reduce((sum, component) => sum + component.unpackedSize, 0);
  return requireSpace(deps, bytesToLoad + 2 * unpacked, partsOf(task, manifest));
}

/** Where space is short, downloads of former tasks go first. */
async function requireSpace(deps: FetchPackageDeps, bytes: number, keep: ReadonlySet<Sha256>): Promise<void> {
  const needed = bytes + SPARE_BYTES;
  if ((await deps.freeBytes()) >= needed) return;
  await discardDownloads(deps.folder.downloads, keep);
  const free = await deps.freeBytes();
  if (free >= needed) return;
  throw new Refusal(
    `not enough disk space: ${mebibytes(needed)} needed (what is to be loaded, twice its unpacked size and a reserve), ${mebibytes(free)} free`,
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
