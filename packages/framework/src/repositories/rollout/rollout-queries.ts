/** Queries over rollouts as a whole; task-queries.ts has those over their tasks. */
import { NO_TASKS, type RolloutId, type RolloutState } from '@leonore/protocol';
import type { Selectable } from 'kysely';
import type { RolloutRecord, RolloutRepository } from '../contract.ts';
import { countUp } from '../counters.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { type Db, fromJson, present, type RolloutTable, toFlag, toJson } from '../schema.ts';

type RolloutQueries = Pick<
  RolloutRepository,
  'insert' | 'find' | 'list' | 'inStates' | 'setState' | 'setPlanning' | 'counts' | 'hasActiveTasks'
>;

const CURSOR: CursorForm<readonly [id: number]> = { list: 'rollouts', example: [0] };

export function createRolloutQueries(db: Db): RolloutQueries {
  return {
    async insert(tenant, rollout) {
      const id = (await countUp(db, tenant, 'rollout')) as RolloutId;
      await db
        .insertInto('rollouts')
        .values({
          tenant,
          id,
          state: rollout.state,
          applications: toJson(rollout.applications),
          remove: toJson(rollout.remove),
          selector: rollout.selector,
          strategy: rollout.strategy,
          deadlines: toJson(rollout.deadlines),
          upgrade: toFlag(rollout.upgrade),
          handling: rollout.handling ? toJson(rollout.handling) : null,
          plan_cursor: rollout.planCursor ?? null,
          planned: toFlag(rollout.planned),
          blockers: toJson(rollout.blockers),
          created_at: rollout.createdAt,
          ended_at: rollout.endedAt ?? null,
        })
        .execute();
      return id;
    },
    async find(tenant, id) {
      const row = await db
        .selectFrom('rollouts')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async list(tenant, { cursor, limit, states }) {
      const [after] = decodeCursor(CURSOR, cursor) ?? [];
      if (states?.length === 0) return { items: [] };
      let query = db
        .selectFrom('rollouts')
        .selectAll()
        .where('tenant', '=', tenant)
        .orderBy('id', 'desc')
        .limit(limit + 1);
      if (states) query = query.where('state', 'in', states);
      if (after !== undefined) query = query.where('id', '<', after as RolloutId);
      return toPage(await query.execute(), limit, CURSOR, (row) => [row.id] as const, toRecord);
    },
    async inStates(states) {
      if (states.length === 0) return [];
      const rows = await db
        .selectFrom('rollouts')
        .selectAll()
        .where('state', 'in', states)
        .orderBy('created_at')
        .orderBy('tenant')
        .orderBy('id')
        .execute();
      return rows.map((row) => ({ tenant: row.tenant, rollout: toRecord(row) }));
    },
    async setState(tenant, id, from, to, at) {
      if (from.length === 0) return false;
      const changed = await db
        .updateTable('rollouts')
        .set({ state: to, ended_at: hasEnded(to) ? at : null })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .where('state', 'in', from)
        .returning('id')
        .executeTakeFirst();
      return changed !== undefined;
    },
    async setPlanning(tenant, id, { planCursor, planned, blockers }) {
      await db
        .updateTable('rollouts')
        .set({ plan_cursor: planCursor ?? null, planned: toFlag(planned), blockers: toJson(blockers) })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .execute();
    },
    async counts(tenant, id) {
      const rows = await db
        .selectFrom('tasks')
        .select((eb) => ['state', eb.fn.countAll<number>().as('count')])
        .where('tenant', '=', tenant)
        .where('rollout', '=', id)
        .groupBy('state')
        .execute();
      const { blocked: _blocked, ...counts } = NO_TASKS;
      for (const { state, count } of rows) {
        counts[state] = count;
        counts.total += count;
      }
      return counts;
    },
    async hasActiveTasks(tenant, id) {
      const row = await db
        .selectFrom('tasks')
        .select('id')
        .where('tenant', '=', tenant)
        .where('rollout', '=', id)
        .where('ended_at', 'is', null)
        .limit(1)
        .executeTakeFirst();
      return row !== undefined;
    },
  };
}

function hasEnded(state: RolloutState): boolean {
  return state !== 'running' && state !== 'paused';
}

function toRecord(row: Selectable<RolloutTable>): RolloutRecord {
  return {
    id: row.id,
    applications: fromJson(row.applications),
    remove: fromJson(row.remove),
    selector: row.selector,
    strategy: row.strategy,
    deadlines: fromJson(row.deadlines),
    upgrade: row.upgrade === 1,
    ...(row.handling === null ? {} : { handling: fromJson(row.handling) }),
    state: row.state,
    planned: row.planned === 1,
    ...present({ planCursor: row.plan_cursor, endedAt: row.ended_at }),
    blockers: fromJson(row.blockers),
    createdAt: row.created_at,
  };
}
