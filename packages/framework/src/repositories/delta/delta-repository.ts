/** The delta repository's queries: which deltas there are, between which builds, how full they make the store. */
import type { Selectable } from 'kysely';
import type { DeltaPair, DeltaRecord, DeltaRepository } from '../contract.ts';
import { type Db, type DeltaTable, fromJson, present } from '../schema.ts';

export function createDeltaRepository(db: Db): DeltaRepository {
  return {
    async find({ from, to }) {
      const row = await db
        .selectFrom('deltas')
        .selectAll()
        .where('from_sha256', '=', from)
        .where('to_sha256', '=', to)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async put({ from, to, state, sha256 = null, size, fromSize, toSize, madeAt, usedAt }) {
      const values = {
        state,
        sha256,
        size,
        from_size: fromSize,
        to_size: toSize,
        made_at: madeAt,
        used_at: usedAt,
      };
      await db
        .insertInto('deltas')
        .values({ from_sha256: from, to_sha256: to, ...values })
        .onConflict((conflict) => conflict.columns(['from_sha256', 'to_sha256']).doUpdateSet(values))
        .execute();
    },
    async remove({ from, to, madeAt }) {
      const gone = await db
        .deleteFrom('deltas')
        .where('from_sha256', '=', from)
        .where('to_sha256', '=', to)
        .where('made_at', '=', madeAt)
        .returning('to_sha256')
        .executeTakeFirst();
      return gone !== undefined;
    },
    async use(pairs, at) {
      for (const { from, to } of pairs) {
        await db
          .updateTable('deltas')
          .set({ used_at: at })
          .where('from_sha256', '=', from)
          .where('to_sha256', '=', to)
          .where('state', '<>', 'failed')
          .where('used_at', '<', at)
          .execute();
      }
    },
    async list({ states, usedBefore, after, limit }) {
      let query = db
        .selectFrom('deltas')
        .selectAll()
        .where('state', 'in', states)
        .where('used_at', '<', usedBefore)
        .orderBy('used_at')
        .orderBy('from_sha256')
        .orderBy('to_sha256')
        .limit(limit);
      if (after) {
        const { usedAt, from, to } = after;
        query = query.where((eb) =>
          eb(eb.refTuple('used_at', 'from_sha256', 'to_sha256'), '>', eb.tuple(usedAt, from, to)),
        );
      }
      return (await query.execute()).map(toRecord);
    },
    async totals() {
      const { count, bytes } = await db
        .selectFrom('deltas')
        .select((eb) => [
          eb.fn.countAll<number | string>().as('count'),
          eb.fn.sum<number | string | null>('size').as('bytes'),
        ])
        .where('sha256', 'is not', null)
        .executeTakeFirstOrThrow();
      return { count: Number(count), bytes: Number(bytes ?? 0) };
    },
    async uses(sha256s) {
      if (sha256s.length === 0) return new Set();
      const rows = await db.selectFrom('deltas').select('sha256').where('sha256', 'in', sha256s).execute();
      return new Set(rows.flatMap(({ sha256 }) => sha256 ?? []));
    },
    async build(contentSha256) {
      const row = await db
        .selectFrom('artifacts')
        .select('artifact')
        .where('content_sha256', '=', contentSha256)
        .limit(1)
        .executeTakeFirst();
      if (!row) return undefined;
      const { segments, unpackedSize } = fromJson(row.artifact);
      return { segments, unpackedSize };
    },
  };
}

function toRecord(row: Selectable<DeltaTable>): DeltaRecord & DeltaPair {
  return {
    from: row.from_sha256,
    to: row.to_sha256,
    state: row.state,
    ...present({ sha256: row.sha256 }),
    size: row.size,
    fromSize: row.from_size,
    toSize: row.to_size,
    madeAt: row.made_at,
    usedAt: row.used_at,
  };
}
