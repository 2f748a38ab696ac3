/**
 * Queries over tasks and their history. Two invariants are kept here: a task that has ended is never written again, and a
 * gateway has at most one active task of a rollout (a unique index holds it).
 */
import { isTerminal, type TaskId, type TaskState, type Tenant } from '@leonore/protocol';
import type { Insertable, Selectable, Updateable } from 'kysely';
import type { NewTask, RolloutRepository, TaskChange, TaskRecord } from '../contract.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { type Db, fromJson, plainText, present, type TaskTable, toFlag, toJson } from '../schema.ts';

type TaskQueries = Pick<
  RolloutRepository,
  | 'insertTasks'
  | 'findTask'
  | 'activeTasks'
  | 'gatewaysWithTask'
  | 'lastTask'
  | 'lastInstalledTask'
  | 'settleDownloaded'
  | 'listTasks'
  | 'transitions'
  | 'transition'
  | 'dueTasks'
  | 'nextDeadline'
>;

const OLDEST_FIRST: CursorForm<readonly [id: number]> = { list: 'tasks', example: [0] };
const NEWEST_FIRST: CursorForm<readonly [id: number]> = { list: 'gateway-tasks', example: [0] };
const ROWS_AT_ONCE = 250;

export function createTaskQueries(db: Db): TaskQueries {
  const tasksOf = (tenant: Tenant) => db.selectFrom('tasks').selectAll().where('tenant', '=', tenant);

  async function writeHistory(tenant: Tenant, tasks: readonly TaskRecord[]): Promise<void> {
    await db
      .insertInto('task_transitions')
      .values(
        tasks.map(({ id, state, createdAt, message }) => ({
          tenant,
          task: id,
          state,
          at: createdAt,
          messages: toJson(message === undefined ? [] : [message]),
          facts: null,
        })),
      )
      .execute();
  }

  return {
    async insertTasks(tenant, tasks) {
      const made: TaskRecord[] = [];
      for (let i = 0; i < tasks.length; i += ROWS_AT_ONCE) {
        const rows = await db
          .insertInto('tasks')
          .values(tasks.slice(i, i + ROWS_AT_ONCE).map((task) => toRow(tenant, task)))
          .onConflict((conflict) => conflict.doNothing())
          .returningAll()
          .execute();
        const records = rows.map(toRecord).toSorted((a, b) => a.id - b.id);
        if (records.length > 0) await writeHistory(tenant, records);
        made.push(...records);
      }
      return made;
    },
    async findTask(tenant, id) {
      const row = await tasksOf(tenant).where('id', '=', id).executeTakeFirst();
      return row && toRecord(row);
    },
    async activeTasks(tenant, gateway) {
      const rows = await tasksOf(tenant)
        .where('gateway', '=', gateway)
        .where('ended_at', 'is', null)
        .orderBy('id')
        .execute();
      return rows.map(toRecord);
    },
    async gatewaysWithTask(tenant, id, gateways, states) {
      const found = new Set<TaskRecord['gateway']>();
      if (states.length === 0) return found;
      for (let i = 0; i < gateways.length; i += ROWS_AT_ONCE) {
        const rows = await db
          .selectFrom('tasks')
          .select('gateway')
          .where('tenant', '=', tenant)
          .where('rollout', '=', id)
          .where('gateway', 'in', gateways.slice(i, i + ROWS_AT_ONCE))
          .where('state', 'in', states)
          .execute();
        for (const { gateway } of rows) found.add(gateway);
      }
      return found;
    },
    async lastTask(tenant, gateway) {
      const row = await tasksOf(tenant)
        .where('gateway', '=', gateway)
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async lastInstalledTask(tenant, gateway) {
      const row = await tasksOf(tenant)
        .where('gateway', '=', gateway)
        .where('state', '=', 'succeeded')
        .where('package', 'is not', null)
        .where((eb) => eb.or([eb('condition', 'is', null), eb('condition', '!=', 'downloaded')]))
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async settleDownloaded(tenant, id, at, messages) {
      const row = await db
        .updateTable('tasks')
        .set({ condition: null, updated_at: at, message: plainText(messages.at(-1) ?? '') })
        .where('id', '=', id)
        .where('tenant', '=', tenant)
        .where('condition', '=', 'downloaded')
        .returning('state')
        .executeTakeFirst();
      if (!row) return false;
      const note = { tenant, task: id, state: row.state, at, messages: toJson(messages), facts: null };
      await db.insertInto('task_transitions').values(note).execute();
      return true;
    },
    async listTasks(tenant, { cursor, limit, rollout, gateway, states }) {
      const newestFirst = gateway !== undefined && rollout === undefined;
      const form = newestFirst ? NEWEST_FIRST : OLDEST_FIRST;
      const [after] = decodeCursor(form, cursor) ?? [];
      if (states?.length === 0) return { items: [] };
      let query = tasksOf(tenant)
        .orderBy('id', newestFirst ? 'desc' : 'asc')
        .limit(limit + 1);
      if (rollout !== undefined) query = query.where('rollout', '=', rollout);
      if (gateway !== undefined) query = query.where('gateway', '=', gateway);
      if (states !== undefined) query = query.where('state', 'in', states);
      if (after !== undefined) query = query.where('id', newestFirst ? '<' : '>', after as TaskId);
      return toPage(await query.execute(), limit, form, (row) => [row.id] as const, toRecord);
    },
    async transitions(tenant, id) {
      const rows = await db
        .selectFrom('task_transitions')
        .select(['state', 'at', 'messages', 'facts'])
        .where('tenant', '=', tenant)
        .where('task', '=', id)
        .orderBy('id')
        .execute();
      return rows.map(({ state, at, messages, facts }) => ({
        state,
        at,
        messages: [...fromJson(messages)],
        ...(facts === null ? {} : fromJson(facts)),
      }));
    },
    async transition(tenant, id, from, to, at, change) {
      const row = await db
        .updateTable('tasks')
        .set(changed(to, at, change))
        .where('id', '=', id)
        .where('tenant', '=', tenant)
        .where('state', '=', from)
        .where('ended_at', 'is', null)
        .returningAll()
        .executeTakeFirst();
      if (!row) return undefined;
      await db
        .insertInto('task_transitions')
        .values({
          tenant,
          task: id,
          state: to,
          at,
          messages: toJson(change.messages ?? []),
          facts: change.facts === undefined ? null : toJson(change.facts),
        })
        .execute();
      return toRecord(row);
    },
    async dueTasks(now, limit) {
      const rows = await db
        .selectFrom('tasks')
        .selectAll()
        .where('ended_at', 'is', null)
        .where('deadline_at', '<=', now)
        .orderBy('deadline_at')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => ({ tenant: row.tenant, task: toRecord(row) }));
    },
    async nextDeadline() {
      const row = await db
        .selectFrom('tasks')
        .select('deadline_at')
        .where('ended_at', 'is', null)
        .where('deadline_at', 'is not', null)
        .orderBy('deadline_at')
        .limit(1)
        .executeTakeFirst();
      return row?.deadline_at ?? undefined;
    },
  };
}

function changed(to: TaskState, at: number, change: TaskChange): Updateable<TaskTable> {
  const { deliveredBy, classKey, canceling, condition, deadlineAt, messages } = change;
  const message = change.message ?? messages?.at(-1);
  return {
    state: to,
    updated_at: at,
    ...(isTerminal(to)
      ? { ended_at: at, deadline_at: null }
      : deadlineAt === undefined
        ? {}
        : { deadline_at: deadlineAt }),
    ...(deliveredBy === undefined ? {} : { delivered_by: deliveredBy }),
    ...(change.package === undefined ? {} : { package: change.package }),
    ...(classKey === undefined ? {} : { class_key: classKey }),
    ...(canceling === undefined ? {} : { canceling: toFlag(canceling) }),
    ...(condition === undefined ? {} : { condition }),
    ...(message === undefined ? {} : { message: plainText(message) }),
  };
}

function toRow(tenant: Tenant, task: NewTask): Insertable<TaskTable> {
  const ended = isTerminal(task.state);
  return {
    tenant,
    rollout: task.rollout,
    gateway: task.gateway,
    state: task.state,
    strategy: task.strategy,
    delivered_by: task.deliveredBy ?? null,
    class_key: task.classKey,
    package: task.package ?? null,
    canceling: toFlag(task.canceling),
    condition: task.condition ?? null,
    created_at: task.createdAt,
    updated_at: task.updatedAt,
    ended_at: ended ? (task.endedAt ?? task.updatedAt) : null,
    deadline_at: ended ? null : (task.deadlineAt ?? null),
    message: task.message === undefined ? null : plainText(task.message),
  };
}

function toRecord(row: Selectable<TaskTable>): TaskRecord {
  return {
    id: row.id,
    rollout: row.rollout,
    gateway: row.gateway,
    state: row.state,
    strategy: row.strategy,
    classKey: row.class_key,
    canceling: row.canceling === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ...present({
      deliveredBy: row.delivered_by,
      package: row.package,
      endedAt: row.ended_at,
      deadlineAt: row.deadline_at,
      message: row.message,
      condition: row.condition,
    }),
  };
}
