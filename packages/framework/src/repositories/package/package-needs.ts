/** Which packages are needed and which may go: by active tasks, by what gateways installed last, by when they were used. */
import { sql } from 'kysely';
import type { PackageRepository } from '../contract.ts';
import type { Db } from '../schema.ts';

export function packageNeeds(db: Db): Pick<PackageRepository, 'use' | 'unneeded' | 'remove'> {
  return {
    async use(tenant, ids, at, freshForMs = 0) {
      if (ids.length === 0) return new Set();
      const there = await db
        .selectFrom('package_uses')
        .select(['id', 'used_at'])
        .where('tenant', '=', tenant)
        .where('id', 'in', ids)
        .execute();
      const stale = there.filter(({ used_at }) => used_at <= at - freshForMs).map(({ id }) => id);
      if (stale.length === 0) return new Set(there.map(({ id }) => id));
      await db
        .updateTable('package_uses')
        // Always another number than before: whoever found it unneeded sees that it was used since.
        .set({ used_at: sql<number>`case when used_at < ${at} then ${at} else used_at + 1 end` })
        .where('tenant', '=', tenant)
        .where('id', 'in', stale)
        .execute();
      return new Set(there.map(({ id }) => id));
    },
    async unneeded({ until, after, limit }) {
      let looked = db
        .selectFrom('package_uses')
        .select(['tenant', 'id', 'used_at'])
        .where('used_at', '<=', until)
        .orderBy('tenant')
        .orderBy('id')
        .limit(limit);
      if (after) looked = looked.where((eb) => eb(eb.refTuple('tenant', 'id'), '>', eb.tuple(after.tenant, after.id)));
      // One statement, so one view of the tasks: one that ends and another that begins meanwhile are not both missed.
      const rows = await db
        .selectFrom(looked.as('looked'))
        .select((eb) => [
          'looked.tenant',
          'looked.id',
          'looked.used_at',
          eb
            .exists(
              eb
                .selectFrom('tasks')
                .select('tasks.id')
                .whereRef('tasks.tenant', '=', 'looked.tenant')
                .whereRef('tasks.package', '=', 'looked.id')
                .where((task) =>
                  task.or([
                    task('tasks.ended_at', 'is', null),
                    task.and([
                      task('tasks.state', '=', 'succeeded'),
                      task.exists(
                        task
                          .selectFrom('gateways')
                          .select('gateways.id')
                          .whereRef('gateways.tenant', '=', 'tasks.tenant')
                          .whereRef('gateways.id', '=', 'tasks.gateway'),
                      ),
                      task.not(
                        task.exists(
                          task
                            .selectFrom('tasks as later')
                            .select('later.id')
                            .whereRef('later.tenant', '=', 'tasks.tenant')
                            .whereRef('later.gateway', '=', 'tasks.gateway')
                            .whereRef('later.id', '>', 'tasks.id')
                            .where('later.state', '=', 'succeeded')
                            .where((one) =>
                              one.or([one('later.condition', 'is', null), one('later.condition', '!=', 'downloaded')]),
                            )
                            .where('later.package', 'is not', null),
                        ),
                      ),
                    ]),
                  ]),
                ),
            )
            .as('needed'),
        ])
        .orderBy('looked.tenant')
        .orderBy('looked.id')
        .execute();
      const last = rows.at(-1);
      return {
        unneeded: rows
          .filter(({ needed }) => !needed)
          .map(({ tenant, id, used_at }) => ({ tenant, id, usedAt: used_at })),
        ...(last && rows.length === limit ? { next: { tenant: last.tenant, id: last.id } } : {}),
      };
    },
    async remove(found) {
      const removed = [];
      for (const { tenant, id, usedAt } of found) {
        const gone = await db
          .deleteFrom('package_uses')
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .where('used_at', '=', usedAt)
          .returning('id')
          .executeTakeFirst();
        if (!gone) continue;
        const row = await db
          .deleteFrom('packages')
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .returning((eb) => eb.fn<number>('length', ['own']).as('bytes'))
          .executeTakeFirst();
        removed.push({ tenant, id, bytes: row?.bytes ?? 0 });
      }
      return removed;
    },
  };
}
