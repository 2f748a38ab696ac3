/**
 * Keeps deltas: a row each, its bytes a blob. The row names the blob before the blob is stored and says `failed` until it
 * is, so whenever the process dies, no blob is without a row, and no delta is offered that is not whole. Of the answers
 * many are kept in memory, so that a delivery costs no query. Leaves to others: making deltas, and which.
 */
import { createHash } from 'node:crypto';
import { isLeonoreError, type Sha256 } from '@leonore/protocol';
import type { BlobStore, DeltaPair, DeltaRecord, Repositories } from '../../repositories/mod.ts';
import { pairKey } from './delta-queue.ts';

/** A delta that is there. */
export interface Delta extends DeltaPair {
  readonly sha256: Sha256;
  readonly size: number;
  /** Of the old and the new tar, bytes. */
  readonly fromSize: number;
  readonly toSize: number;
  readonly madeAt: number;
}

export type KnownDelta =
  | { readonly kind: 'ready'; readonly delta: Delta }
  /** There is none and none shall be made. */
  | { readonly kind: 'none' }
  /** There is none, or none yet. */
  | { readonly kind: 'unknown' };

export interface DeltaStore {
  find(pair: DeltaPair): Promise<KnownDelta>;
  /** Notes that one is being made; it counts as failed until it is kept. */
  begin(pair: DeltaPair): Promise<void>;
  /** It was not begun after all, or broken off for no fault of its own. */
  breakOff(pair: DeltaPair): Promise<void>;
  /** No delta is worth while between these. */
  giveUp(pair: DeltaPair, sizes?: Pick<Delta, 'fromSize' | 'toSize'>): Promise<void>;
  /** False when there is no room for it. @throws storage.full, storage.quota */
  keep(pair: DeltaPair, bytes: Uint8Array, sizes: Pick<Delta, 'fromSize' | 'toSize'>): Promise<boolean>;
  /** Its bytes are damaged or gone: it may be made again. */
  forget(delta: Delta): Promise<void>;
  /** Notes in memory that it was used. */
  used(pair: DeltaPair): void;
  /** Removes what was not used for long, whose bytes are gone, or what is above the limit. */
  collect(): Promise<{ deltas: number; bytes: number }>;
}

export interface DeltaStoreOptions {
  readonly budgetBytes: number;
  /** A pair that failed is tried again after so long. */
  readonly retryAfterMs: number;
  readonly unusedForMs: number;
  /** What was used that lately stays though there is no room for another: they would push each other out. */
  readonly heldForMs: number;
  readonly maxKnown: number;
  /** Until it is asked again whether another node has made it, milliseconds. */
  readonly unknownForMs: number;
}

const PAGE = 200;

export function createDeltaStore(
  deps: { repositories: Repositories; blobs: BlobStore; now: () => number },
  options: DeltaStoreOptions,
): DeltaStore {
  const { repositories, blobs, now } = deps;
  const { list } = repositories.read.deltas;
  const known = new Map<string, { readonly known: KnownDelta; readonly until: number }>();
  const reading = new Map<string, Promise<KnownDelta>>();
  const touched = new Map<string, DeltaPair>();
  /** Settled when no blob of a delta is being stored or removed. */
  let last: Promise<unknown> = Promise.resolve();

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  }

  function remember(pair: DeltaPair, what: KnownDelta, until: number): KnownDelta {
    const key = pairKey(pair);
    known.delete(key);
    known.set(key, { known: what, until });
    for (const oldest of known.keys()) {
      if (known.size <= options.maxKnown) break;
      known.delete(oldest);
    }
    return what;
  }

  function rememberRecord(pair: DeltaPair, record: DeltaRecord | undefined): KnownDelta {
    const { sha256 } = record ?? {};
    if (record?.state === 'ready' && sha256 !== undefined) {
      const { size, fromSize, toSize, madeAt } = record;
      return remember(pair, { kind: 'ready', delta: { ...pair, sha256, size, fromSize, toSize, madeAt } }, Infinity);
    }
    if (record?.state === 'useless') return remember(pair, { kind: 'none' }, Infinity);
    const retryAt = (record?.usedAt ?? -Infinity) + options.retryAfterMs;
    // Another node may have made it by then.
    const until = now() + options.unknownForMs;
    if (retryAt <= now()) return remember(pair, { kind: 'unknown' }, until);
    return remember(pair, { kind: 'none' }, Math.min(until, retryAt));
  }

  async function read(pair: DeltaPair): Promise<KnownDelta> {
    const key = pairKey(pair);
    const running = reading.get(key);
    if (running) return running;
    const before = known.get(key);
    const started = repositories.read.deltas.find(pair).then((record) => {
      const since = known.get(key);
      // It was made, or given up, while the older answer was on its way.
      return since && since !== before ? since.known : rememberRecord(pair, record);
    });
    reading.set(key, started);
    try {
      return await started;
    } finally {
      reading.delete(key);
    }
  }

  async function put(record: DeltaRecord): Promise<void> {
    await repositories.write((tx) => tx.deltas.put(record));
    rememberRecord({ from: record.from, to: record.to }, record);
  }

  async function flush(): Promise<void> {
    const pairs = [...touched.values()];
    touched.clear();
    if (pairs.length > 0) await repositories.write((tx) => tx.deltas.use(pairs, now()));
  }

  /** Bytes freed; undefined when it is another by now. The row goes first: what is left without one is swept. */
  async function remove(record: DeltaRecord): Promise<number | undefined> {
    const { sha256, size } = record;
    const orphan = await repositories.write(async (tx) => {
      if (!(await tx.deltas.remove(record))) return undefined;
      if (sha256 === undefined) return {};
      const users = [...(await tx.deltas.uses([sha256])), ...(await tx.artifacts.segmentUsers([sha256]))];
      return users.length > 0 ? {} : { sha256 };
    });
    if (!orphan) return undefined;
    known.delete(pairKey(record));
    return orphan.sha256 !== undefined && (await blobs.remove(orphan.sha256)) ? size : 0;
  }

  /** Removes the least recently used until so many bytes fit; false when they never will. */
  async function makeRoom(size: number, drop: (record: DeltaRecord) => Promise<unknown> = remove): Promise<boolean> {
    await flush();
    let { bytes } = await repositories.read.deltas.totals();
    while (bytes + size > options.budgetBytes) {
      const usedBefore = now() - options.heldForMs;
      const oldest = await list({ states: ['ready'], usedBefore, limit: PAGE });
      if (oldest.length === 0) return false;
      for (const record of oldest) {
        if (bytes + size <= options.budgetBytes) break;
        await drop(record);
        bytes -= record.size;
      }
    }
    return true;
  }

  async function* records(
    query: Pick<Parameters<typeof list>[0], 'states' | 'usedBefore'>,
  ): AsyncGenerator<DeltaRecord> {
    let after: DeltaRecord | undefined;
    do {
      const page: readonly DeltaRecord[] = await list({ ...query, after, limit: PAGE });
      yield* page;
      after = page.length === PAGE ? page.at(-1) : undefined;
    } while (after);
  }
  return {
    async find(pair) {
      const hit = known.get(pairKey(pair));
      return hit && hit.until > now() ? hit.known : read(pair);
    },
    begin: (pair) => put({ ...pair, state: 'failed', size: 0, fromSize: 0, toSize: 0, madeAt: now(), usedAt: now() }),
    async breakOff(pair) {
      known.delete(pairKey(pair));
      const record = await repositories.read.deltas.find(pair);
      if (record?.state === 'failed') await inTurn(() => remove(record));
    },
    giveUp: (pair, { fromSize, toSize } = { fromSize: 0, toSize: 0 }) =>
      put({ ...pair, state: 'useless', size: 0, fromSize, toSize, madeAt: now(), usedAt: now() }),
    keep: (pair, bytes, { fromSize, toSize }) =>
      inTurn(async () => {
        const size = bytes.length;
        if (!(await makeRoom(size))) return false;
        const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
        const record = { ...pair, sha256, size, fromSize, toSize, madeAt: now(), usedAt: now() };
        await put({ ...record, state: 'failed' });
        await blobs.put(bytes);
        await put({ ...record, state: 'ready' });
        return true;
      }),
    forget: (delta) =>
      inTurn(async () => {
        known.delete(pairKey(delta));
        const record = await repositories.read.deltas.find(delta);
        if (record?.sha256 === delta.sha256) await remove(record);
        await blobs.forgetDamage(delta.sha256);
      }),
    used: (pair) => void touched.set(pairKey(pair), pair),
    collect: () =>
      inTurn(async () => {
        const freed = { deltas: 0, bytes: 0 };
        const drop = async (record: DeltaRecord): Promise<void> => {
          const bytes = await remove(record);
          if (bytes === undefined) return;
          if (record.state === 'ready') freed.deltas += 1;
          freed.bytes += bytes;
        };
        await flush();
        const unused = { states: ['ready', 'useless'] as const, usedBefore: now() - options.unusedForMs };
        for await (const record of records(unused)) await drop(record);
        const given = { states: ['failed'] as const, usedBefore: now() - options.retryAfterMs };
        for await (const record of records(given)) await drop(record);
        for await (const record of records({ states: ['ready'], usedBefore: Number.MAX_SAFE_INTEGER })) {
          if (record.sha256 !== undefined && (await blobs.size(record.sha256)) !== record.size) await drop(record);
        }
        await makeRoom(0, drop);
        return freed;
      }),
  };
}

/** True when a blob is not what it was, or is gone. */
export function isLost(error: unknown): boolean {
  return isLeonoreError(error, 'storage.corrupt');
}
