/**
 * Brings the content of a package's components here and unpacks it, each from where it costs least (plan-fetch.ts).
 *
 *   plan ──> bases unchanged? ──> deltas ──> ranges of the package ──> unpack
 *    ^             │ no             │ cannot be had                      │ a delta or what is installed gives other content
 *    └─────────────┴────────────────┴────────────────────────────────────┘ without that; in the end all is `full`
 *
 * Each way back takes one of the choices away, so this ends. What fails in a segment is thrown.
 */
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { applyDelta, type ComponentContent, unpackComponents } from '@leonore/app-package';
import { isLeonoreError, type PackageComponent, type PackageManifest, type Sha256 } from '@leonore/protocol';
import {
  type AgentTask,
  type Download,
  type DownloadPackageOptions,
  errorText,
  type Logger,
  type PackageSink,
} from '../connectivity/mod.ts';
import type { AgentFolder } from './folder.ts';
import type { InstalledSet } from './installed.ts';
import { findInstalledTars, type InstalledTar, readTarBytes, requireUnchanged, writeLayouts } from './installed-tar.ts';
import { createPackageSink, type Piece } from './package-sink.ts';
import { deltaName, headerName, segmentName } from './part-names.ts';
import type { Part, PartStore } from './part-store.ts';
import { type KeepRoom, whileThereIsRoom } from './room.ts';
import { type ComponentFetch, deltaMemory, type Memory, planFetch } from './plan-fetch.ts';

export interface FetchComponentsDeps {
  readonly folder: AgentFolder;
  /** Holds the package's header, whole. */
  readonly parts: PartStore;
  readonly installed: () => InstalledSet;
  readonly memory: () => Memory;
  readonly logger: Logger;
  readonly download: (what: Download, sink: PackageSink, options?: DownloadPackageOptions) => Promise<void>;
  /** Throws where there is no room for so many more bytes and for what is unpacked. */
  readonly requireSpace: (bytesToLoad: number) => Promise<void>;
  /** Asked before each chunk that is unpacked. */
  readonly keepRoom: KeepRoom;
  readonly beforeUnpack?: (() => Promise<void>) | undefined;
  readonly onBytes: (count: number) => void;
}

/** A delta that the server has, but does not give: so many tries, then the segment is taken. */
const DELTA_ATTEMPTS = 5;

/** @throws LeonoreError `archive.*`, `agent.*`; the signal's reason. `staged` is then not there. */
export async function fetchComponents(
  deps: FetchComponentsDeps,
  task: AgentTask,
  manifest: PackageManifest,
  { staged, signal }: { readonly staged: string; readonly signal: AbortSignal },
): Promise<void> {
  const { parts } = deps;
  const { components } = manifest;
  const segmentOf = (component: PackageComponent): Promise<Part> => parts.part(segmentName(component));
  const offers = task.deltas.filter(({ name }) => components.some((component) => component.name === name));
  const contents = [...components.map(({ contentSha256 }) => contentSha256), ...offers.map(({ from }) => from)];
  const tars = await findInstalledTars(deps.folder, deps.installed(), new Set(contents));
  const unchanged = new Set<InstalledTar>();
  /** Digests of tars and deltas that turned out to be of no use. */
  const useless = new Set<Sha256>();
  const doWithout = (what: Sha256, why: string, error: unknown): false => {
    signal.throwIfAborted();
    // Less would come of another way.
    if (isLeonoreError(error, 'agent.disk-full')) throw error;
    useless.add(what);
    deps.logger.warn(why, { action: task.actionId, error: errorText(error) });
    return false;
  };

  const choose = async (): Promise<ComponentFetch<InstalledTar>[]> => {
    const named = [...components.map(segmentName), ...offers.map(deltaName)];
    const here = await Promise.all(named.map((name) => parts.part(name)));
    return planFetch(manifest, {
      installed: tars.filter(({ contentSha256 }) => !useless.has(contentSha256)),
      held: new Map(here.map(({ sha256, have }) => [sha256, have])),
      offers: offers.filter(({ sha256 }) => !useless.has(sha256)),
      memoryBytes: deltaMemory(deps.memory()),
    });
  };

  /** Before anything is paid for. */
  const findUnchanged = async (plan: readonly ComponentFetch<InstalledTar>[]): Promise<boolean> => {
    for (const fetch of plan) {
      if (!('base' in fetch) || unchanged.has(fetch.base)) continue;
      try {
        await requireUnchanged(fetch.base);
        unchanged.add(fetch.base);
      } catch (error) {
        const why = `the segment of ${fetch.component.name} is taken, what is installed is of no use for it`;
        return doWithout(fetch.base.contentSha256, why, error);
      }
    }
    return true;
  };

  const load = async (what: Download, pieces: readonly Piece[], options?: DownloadPackageOptions): Promise<void> => {
    const isPackage = what === task;
    const sink = createPackageSink({
      size: what.size,
      pieces: () => pieces,
      toTheEnd: () => false,
      etag: isPackage ? await parts.etag(task.headerSha256) : undefined,
      onEtag: async (etag) => (isPackage ? parts.setEtag(task.headerSha256, etag) : undefined),
      onBytes: deps.onBytes,
    });
    await deps.download(what, sink, options);
  };
  const bring = async (plan: readonly ComponentFetch[]): Promise<boolean> => {
    const pieces: Piece[] = [];
    const deltas: { fetch: ComponentFetch & { way: 'delta' }; part: Part }[] = [];
    for (const fetch of plan) {
      if (fetch.way === 'delta') deltas.push({ fetch, part: await parts.part(deltaName(fetch.offer)) });
      if (fetch.way !== 'full') continue;
      const start = task.headerSize + fetch.component.segment.offset;
      pieces.push({ start, part: await segmentOf(fetch.component) });
    }
    const missing = [...pieces, ...deltas].reduce((sum, { part }) => sum + part.length - part.have, 0);
    await deps.requireSpace(missing);
    for (const { fetch, part } of deltas) {
      const { offer, component } = fetch;
      try {
        await load({ url: offer.href, size: offer.size }, [{ start: 0, part }], {
          dispensable: true,
          hopelessAttempts: DELTA_ATTEMPTS,
        });
      } catch (error) {
        return doWithout(offer.sha256, `the segment of ${component.name} is taken, its delta cannot be had`, error);
      }
    }
    await load(task, pieces);
    return true;
  };

  const contentOf = async (fetch: ComponentFetch<InstalledTar>): Promise<ComponentContent> => {
    const { component } = fetch;
    if (fetch.way === 'installed') return { form: 'tar', bytes: fetch.base.bytes() };
    if (fetch.way !== 'delta') return { form: 'segment', bytes: createReadStream((await segmentOf(component)).path) };
    const old = await readTarBytes(fetch.base);
    const { path, subject } = await parts.part(deltaName(fetch.offer));
    return { form: 'tar', bytes: applyDelta(createReadStream(path), old, { maxBytes: fetch.offer.toSize, subject }) };
  };
  const unpack = async (plan: readonly ComponentFetch<InstalledTar>[]): Promise<boolean> => {
    await rm(staged, { recursive: true, force: true });
    await deps.beforeUnpack?.();
    let current: ComponentFetch | undefined;
    const header = await parts.part(headerName(task));
    try {
      const { layouts } = await unpackComponents(
        createReadStream(header.path),
        async ({ name }) => {
          const fetch = plan.find(({ component }) => component.name === name);
          if (!fetch) throw new Error(`${name} is not planned for`);
          current = fetch;
          const { form, bytes } = await contentOf(fetch);
          return { form, bytes: whileThereIsRoom(bytes, deps.keepRoom) };
        },
        { into: staged, encoding: task.encoding, headerSize: task.headerSize, headerSha256: task.headerSha256, signal },
      );
      await writeLayouts(staged, layouts);
      return true;
    } catch (error) {
      if (!current) throw error;
      const { name } = current.component;
      if (current.way === 'delta') {
        doWithout(current.offer.sha256, `the segment of ${name} is taken, its delta does not give its content`, error);
        await (await parts.part(deltaName(current.offer))).discard();
        return false;
      }
      if (current.way === 'installed') {
        const why = `the segment of ${name} is taken, what is installed is not its content`;
        return doWithout(current.base.contentSha256, why, error);
      }
      // What it names is not what it holds: whoever tries again shall not find it.
      if (isDamage(error)) await (await segmentOf(current.component)).discard();
      throw error;
    }
  };

  for (;;) {
    signal.throwIfAborted();
    const plan = await choose();
    if ((await findUnchanged(plan)) && (await bring(plan)) && (await unpack(plan))) return;
  }
}

/** Bytes that are not what they should be, not a fault of this machine. */
export function isDamage(error: unknown): boolean {
  return (
    isLeonoreError(error, 'archive.corrupt') ||
    isLeonoreError(error, 'archive.mismatch') ||
    isLeonoreError(error, 'archive.hostile')
  );
}
