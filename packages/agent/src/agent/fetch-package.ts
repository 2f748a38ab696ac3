/**
 * From a task to an unpacked package in staging: asks whether the gateway fits and has room, downloads, verifies. What
 * does not fit is refused as soon as the header is here, before the rest is paid for; nothing outside of downloads/ and
 * staging/ is touched.
 */
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readPackageHeader, unpackPackage } from '@leonore/app-package';
import { type GatewayProfile, isLeonoreError, type PackageManifest } from '@leonore/protocol';
import { type AgentTask, downloadPackage, errorText, type HttpConnectivity, type Logger } from '../connectivity/mod.ts';
import type { AgentFolder } from './folder.ts';
import type { InstalledSet } from './installed.ts';
import { discardDownloads, openPackageFile } from './package-file.ts';
import { planChange } from './plan.ts';

/** The task is refused before anything was touched; the message says why. */
export class Refusal extends Error {}

export interface FetchPackageDeps {
  readonly folder: AgentFolder;
  readonly connectivity: Pick<HttpConnectivity, 'download'>;
  readonly profile: () => Promise<GatewayProfile>;
  readonly installed: () => InstalledSet;
  readonly freeBytes: () => Promise<number>;
  readonly logger: Logger;
  readonly retry?: { readonly initialMs: number; readonly maxMs: number } | undefined;
}

/** Stays free whatever is installed, bytes. */
const SPARE_BYTES = 20 * 2 ** 20;

/** @throws Refusal; LeonoreError `archive.*`, `agent.download`...; the signal's reason. */
export async function fetchPackage(
  deps: FetchPackageDeps,
  task: AgentTask,
  signal: AbortSignal,
): Promise<{ manifest: PackageManifest; staged: string }> {
  await discardDownloads(deps.folder.downloads, task);
  await requireSpace(deps, task.size + SPARE_BYTES);
  for (let attempt = 0; ; attempt++) {
    try {
      return await downloadAndUnpack(deps, task, signal);
    } catch (error) {
      signal.throwIfAborted();
      const damaged =
        isLeonoreError(error, 'archive.corrupt') ||
        isLeonoreError(error, 'archive.mismatch') ||
        isLeonoreError(error, 'archive.hostile');
      if (!damaged || attempt > 0) throw error;
      deps.logger.warn('the package is not what it should be; loading it anew', { error: errorText(error) });
      await discardDownloads(deps.folder.downloads);
    }
  }
}

async function downloadAndUnpack(
  deps: FetchPackageDeps,
  task: AgentTask,
  signal: AbortSignal,
): Promise<{ manifest: PackageManifest; staged: string }> {
  const { folder, logger } = deps;
  await using file = await openPackageFile(folder.downloads, task, (path) => judge(deps, task, path));
  if (file.resumedAt > 0) logger.info('going on with a download', { at: file.resumedAt, of: task.size });
  await downloadPackage(deps.connectivity, task, file, {
    signal,
    ...deps.retry,
    onRetry: (error, delayMs) =>
      logger.warn('the download was interrupted; trying again', {
        error: errorText(error),
        at: file.position().offset,
        inMs: Math.round(delayMs),
      }),
  });
  await file.sync();
  const staged = join(folder.staging, task.actionId);
  await rm(staged, { recursive: true, force: true });
  const manifest = await unpackPackage(createReadStream(file.path), {
    into: staged,
    encoding: task.encoding,
    headerSize: task.headerSize,
    headerSha256: task.headerSha256,
    size: task.size,
    signal,
  });
  return { manifest, staged };
}

/** Reads the header of what is being downloaded and refuses a package that this gateway cannot take. */
async function judge(deps: FetchPackageDeps, task: AgentTask, path: string): Promise<void> {
  const manifest = await readPackageHeader(createReadStream(path, { end: task.headerSize - 1 }), {
    headerSize: task.headerSize,
    headerSha256: task.headerSha256,
    encoding: task.encoding,
  });
  if (manifest.id !== task.packageId) {
    throw new Refusal(`the package is ${manifest.id}, the task names ${task.packageId}`);
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
  const planned = planChange(deps.installed(), manifest, task.sequence);
  if (planned.outcome === 'refused') throw new Refusal(`the package does not fit this gateway: ${planned.why}`);
  const unpacked = manifest.components.reduce((sum, component) => sum + component.unpackedSize, 0);
  await requireSpace(deps, task.size - task.headerSize + 2 * unpacked + SPARE_BYTES);
}

async function requireSpace(deps: FetchPackageDeps, bytes: number): Promise<void> {
  const free = await deps.freeBytes();
  if (free >= bytes) return;
  throw new Refusal(
    `not enough disk space: ${mebibytes(bytes)} needed (package, twice its unpacked size and a reserve), ${mebibytes(free)} free`,
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
