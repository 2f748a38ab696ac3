/**
 * Deltas beside the packages: made once for each pair of builds, in the background, when gateways are about to go from one
 * to the other; offered to those that can apply them. They are never needed: the package stays whole, and whoever finds
 * no delta takes the segment. So nothing here fails a plan or a delivery.
 */
import type { Artifact, DeltaOffer, GatewayProfile, PackageComponent, Sha256, Tenant } from '@leonore/protocol';
import { platformKey } from '@leonore/protocol';
import type { BlobStore, DeltaPair, PackageRecord, Repositories } from '../../repositories/mod.ts';
import type { DeltaMaker } from './delta-maker.ts';
import { createDeltaMaking, type MakingCounts } from './delta-making.ts';
import { createDeltaQueue, type Urgency } from './delta-queue.ts';
import { createDeltaStore, type Delta, isLost } from './delta-store.ts';

/** As a task document has it, but for the address. */
export type OfferedDelta = Omit<DeltaOffer, 'href'>;

/** A delta's bytes, ready to be sent. */
export interface OpenDelta extends Pick<Delta, 'sha256' | 'size' | 'madeAt'> {
  read(range: { start: number; end: number }): AsyncIterable<Uint8Array>;
}

export interface Deltas extends AsyncDisposable {
  /** Gateways are about to get these: what their updates need is made, and waited for within limits. Never rejects. */
  prepare(records: readonly PackageRecord[], signal?: AbortSignal): Promise<void>;
  /** Gateways may soon update to this build: made when there is nothing else to do. */
  published(tenant: Tenant, artifact: Artifact): void;
  /**
   * What a gateway may take instead of segments of the package. `profile` is asked for only when there is or may come
   * something to offer; what is not there yet is asked for, not waited for.
   */
  offers(record: PackageRecord, profile: () => Promise<GatewayProfile | undefined>): Promise<readonly OfferedDelta[]>;
  /** Undefined when no component of the package is made by a delta of this digest, or its bytes are lost. */
  open(record: PackageRecord, sha256: Sha256): Promise<OpenDelta | undefined>;
  /** Its size, made first where it is not there and that takes no longer than a plan would wait. */
  bytes(pair: DeltaPair): Promise<number | undefined>;
  collect(): Promise<{ deltas: number; bytes: number }>;
  readonly counts: MakingCounts & { readonly queued: number };
}

export interface DeltasOptions {
  /** Disk for deltas, bytes. 0: none are made or offered, and those that are there go. */
  readonly budgetBytes: number;
  /** Old and new tar together, bytes. */
  readonly maxPairBytes: number;
  /** Longest that planning is held up for them, milliseconds. */
  readonly maxWaitMs?: number;
  readonly maxQueued?: number;
  readonly retryAfterMs?: number;
  readonly unusedForMs?: number;
  readonly heldForMs?: number;
}

const HOUR_MS = 3_600_000;
/** A gateway needs the old tar twice, and the new one, and goes on with what it does. */
const MEMORY_FACTOR = 4;

export function createDeltas(
  deps: {
    repositories: Repositories;
    blobs: BlobStore;
    maker: DeltaMaker;
    now: () => number;
    onError: (error: unknown) => void;
  },
  options: DeltasOptions,
): Deltas {
  const { repositories, blobs, onError } = deps;
  const isOff = options.budgetBytes === 0;
  const store = createDeltaStore(deps, {
    budgetBytes: options.budgetBytes,
    retryAfterMs: options.retryAfterMs ?? HOUR_MS,
    unusedForMs: options.unusedForMs ?? 30 * 24 * HOUR_MS,
    heldForMs: isOff ? 0 : (options.heldForMs ?? HOUR_MS),
    maxKnown: 10_000,
    unknownForMs: 60_000,
  });
  const making = createDeltaMaking({ ...deps, store }, { maxPairBytes: options.maxPairBytes });
  const queue = createDeltaQueue(
    { make: making.make, onError },
    { maxQueued: options.maxQueued ?? 1000, maxWaitMs: options.maxWaitMs ?? 20_000 },
  );
  const background = new Set<Promise<void>>();

  function ask(pair: DeltaPair, urgency: Urgency): Promise<void> | undefined {
    return isOff ? undefined : queue.ask(pair, urgency);
  }

  async function unknownOf(pairs: readonly DeltaPair[]): Promise<readonly DeltaPair[]> {
    const found = await Promise.all(pairs.map((pair) => store.find(pair)));
    return pairs.filter((_, index) => found[index]?.kind === 'unknown');
  }

  /** From the version that most gateways run, on the same platform. */
  async function askForUpdateTo(tenant: Tenant, { manifest, contentSha256 }: Artifact): Promise<void> {
    const { name, version, platform } = manifest;
    const running = await repositories.read.gateways.installedVersions(tenant, name);
    const [most] = running.filter((other) => other.version !== version).toSorted((a, b) => b.gateways - a.gateways);
    if (!most) return;
    const builds = await repositories.read.artifacts.builds(tenant, name, most.version);
    const before = builds.find((build) => platformKey(build.manifest.platform) === platformKey(platform));
    if (!before || before.contentSha256 === contentSha256) return;
    void ask({ from: before.contentSha256, to: contentSha256 }, 'spare');
  }

  return {
    async prepare(records, signal) {
      if (isOff) return;
      try {
        const pairs = records.flatMap((record) => pairsOf(record).map(({ pair }) => pair));
        const asked = (await unknownOf(pairs)).flatMap((pair) => ask(pair, 'planned') ?? []);
        await queue.settled(asked, signal);
      } catch (error) {
        onError(error);
      }
    },
    published(tenant, artifact) {
      if (isOff) return;
      const looking = askForUpdateTo(tenant, artifact)
        .catch(onError)
        .finally(() => background.delete(looking));
      background.add(looking);
    },
    async offers(record, profile) {
      const pairs = isOff ? [] : pairsOf(record);
      const found = await Promise.all(pairs.map(async (one) => ({ ...one, known: await store.find(one.pair) })));
      const promising = found.filter(({ known }) => known.kind !== 'none');
      if (promising.length === 0) return [];
      const gateway = await profile();
      if (!gateway?.deltas?.includes('zstd')) return [];
      return promising.flatMap(({ pair, component, known }) => {
        if (known.kind !== 'ready') {
          void ask(pair, 'planned');
          return [];
        }
        const { sha256, size, fromSize, toSize } = known.delta;
        const hasRoom = (gateway.memory?.total ?? Infinity) >= MEMORY_FACTOR * (fromSize + toSize);
        if (!hasRoom || size >= component.segment.length) return [];
        store.used(pair);
        return [{ kind: 'zstd', name: component.name, from: pair.from, sha256, size, fromSize, toSize }];
      });
    },
    async open(record, sha256) {
      for (const { pair } of isOff ? [] : pairsOf(record)) {
        const known = await store.find(pair);
        if (known.kind !== 'ready' || known.delta.sha256 !== sha256) continue;
        return openDelta(known.delta);
      }
      return undefined;
    },
    async bytes(pair) {
      let known = await store.find(pair);
      if (known.kind === 'unknown') {
        const asked = ask(pair, 'planned');
        await queue.settled(asked ? [asked] : []);
        known = await store.find(pair);
      }
      return known.kind === 'ready' ? known.delta.size : undefined;
    },
    collect: store.collect,
    get counts() {
      return { ...making.counts, queued: queue.length };
    },
    async [Symbol.asyncDispose]() {
      const stopped = queue[Symbol.asyncDispose]();
      await deps.maker[Symbol.asyncDispose]();
      await stopped;
      await Promise.all(background);
    },
  };

  async function openDelta(delta: Delta): Promise<OpenDelta | undefined> {
    try {
      await blobs.prove(delta.sha256);
    } catch (error) {
      if (!isLost(error)) throw error;
      await store.forget(delta);
      return undefined;
    }
    async function* read(range: { start: number; end: number }): AsyncGenerator<Uint8Array> {
      try {
        yield* blobs.read(delta.sha256, range);
      } catch (error) {
        if (isLost(error)) await store.forget(delta);
        throw error;
      }
    }
    return { sha256: delta.sha256, size: delta.size, madeAt: delta.madeAt, read };
  }
}

/** What a delta may make of the package: the updates of a tar whose old build is known and has other content. */
function pairsOf({ summary, manifest, bases }: PackageRecord): { pair: DeltaPair; component: PackageComponent }[] {
  if (summary.encoding === undefined) return [];
  return bases.flatMap(({ name, contentSha256 }) => {
    const component = manifest.components.find((one) => one.name === name);
    if (!component || component.contentSha256 === contentSha256) return [];
    return [{ pair: { from: contentSha256, to: component.contentSha256 }, component }];
  });
}
