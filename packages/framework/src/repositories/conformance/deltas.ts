/** What every driver's delta repository must do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DeltaRecord } from '../contract.ts';
import { type OpenEmpty, useDatabase } from './database.ts';
import { artifact, sha } from './samples.ts';

function delta(from: string, more: Partial<DeltaRecord> = {}): DeltaRecord {
  return {
    from: sha(from),
    to: sha('new'),
    state: 'ready',
    sha256: sha(`delta from ${from}`),
    size: 10,
    fromSize: 2 ** 33,
    toSize: 2 ** 34,
    madeAt: 1000,
    usedAt: 1000,
    ...more,
  };
}

export function deltaRepositoryConforms(open: OpenEmpty): void {
  describe('deltas', () => {
    const db = useDatabase(open);
    const put = (...records: DeltaRecord[]) =>
      db.write(async (set) => {
        for (const record of records) await set.deltas.put(record);
      });

    it('are found as they were put, the last one counts', async () => {
      const first = delta('a', { state: 'failed', sha256: undefined, size: 0 });
      await put(first);
      const { sha256: _, ...without } = first;
      assert.deepEqual(await db.read.deltas.find(first), without);
      const second = delta('a', { madeAt: 2000 });
      await put(second);
      assert.deepEqual(await db.read.deltas.find(first), second);
      assert.equal(await db.read.deltas.find({ from: first.to, to: first.from }), undefined);
      // Who knew the first removes nothing of the second.
      assert.equal(await db.write((set) => set.deltas.remove(first)), false);
      assert.equal(await db.write((set) => set.deltas.remove(second)), true);
      assert.equal(await db.write((set) => set.deltas.remove(second)), false);
      assert.equal(await db.read.deltas.find(first), undefined);
    });

    it('are listed in the order of their use, in pages, and counted by what they take', async () => {
      const useless = delta('useless', { state: 'useless', sha256: undefined, size: 0, usedAt: 4 });
      const unfinished = delta('unfinished', { state: 'failed', size: 5, usedAt: 5 });
      const ready = [3, 1, 2, 2].map((usedAt, i) => delta(`ready ${i}`, { usedAt, size: 2 ** 40 }));
      await put(useless, unfinished, ...ready);
      const seen: DeltaRecord[] = [];
      const query = { states: ['ready', 'useless'] as const, usedBefore: 5, limit: 2 };
      for (let after: DeltaRecord | undefined; ; ) {
        const page = await db.read.deltas.list({ ...query, after });
        seen.push(...page);
        after = page.at(-1);
        if (!after) break;
      }
      assert.deepEqual(
        seen.map(({ usedAt }) => usedAt),
        [1, 2, 2, 3, 4],
      );
      assert.equal(new Set(seen.map(({ from }) => from)).size, 5);
      assert.deepEqual(await db.read.deltas.list({ ...query, states: ['failed'], usedBefore: 6 }), [unfinished]);
      assert.deepEqual(await db.read.deltas.list({ ...query, usedBefore: 1 }), []);
      assert.deepEqual(await db.read.deltas.totals(), { count: 5, bytes: 4 * 2 ** 40 + 5 });

      await db.write((set) => set.deltas.use([unfinished, useless, ready[0]!], 3500));
      const usedAt = async (record: DeltaRecord) => (await db.read.deltas.find(record))?.usedAt;
      assert.deepEqual(await Promise.all([unfinished, useless, ready[0]!, ready[1]!].map(usedAt)), [5, 3500, 3500, 1]);
      await db.write((set) => set.deltas.use([useless], 3000));
      assert.equal(await usedAt(useless), 3500);
    });

    it('say which blobs are theirs, also while they are stored', async () => {
      const [a, b] = [delta('mine'), delta('coming', { state: 'failed' })];
      await put(a, b);
      const asked = [a.sha256!, sha('nobody'), b.sha256!];
      assert.deepEqual(await db.read.deltas.uses(asked), new Set([a.sha256, b.sha256]));
      assert.deepEqual(await db.read.deltas.uses([]), new Set());
    });

    it('are made of builds of any tenant', async () => {
      const build = artifact('svm', '7.0.0');
      await db.write((set) => set.artifacts.insert(db.newTenant(), build, []));
      const { segments, unpackedSize } = build;
      assert.deepEqual(await db.read.deltas.build(build.contentSha256), { segments, unpackedSize });
      assert.equal(await db.read.deltas.build(sha('nothing')), undefined);
    });
  });
}
