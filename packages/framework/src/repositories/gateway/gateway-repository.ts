/** The gateway repository's queries. Facts (what selectors look at) follow every change of profile or labels. */
import { type GatewayId, PROFILE_SELECTOR_KEYS, type Selector, type Tenant } from '@leonore/protocol';
import { type Selectable, sql } from 'kysely';
import type { GatewayRecord, GatewayRepository } from '../contract.ts';
import { type CursorForm, decodeCursor, toPage } from '../page.ts';
import { type Db, fromJson, type GatewayTable, present, toFlag, toJson } from '../schema.ts';
import { changeDesired } from './desired.ts';
import { countValues, factKeys, factsOf, gatewaysWith, installedKey, writeFacts } from './facts.ts';
import { matchesTerm } from './selector-query.ts';
import { createTokenQueries } from './token-queries.ts';

const CURSOR: CursorForm<readonly [id: string]> = { list: 'gateways', example: [''] };
const GATEWAYS_AT_ONCE = 500;

export function createGatewayRepository(db: Db): GatewayRepository {
  const selected = (tenant: Tenant, selector: Selector | undefined) =>
    db
      .selectFrom('gateways')
      .where('gateways.tenant', '=', tenant)
      .where((eb) => eb.and((selector?.terms ?? []).map((term) => matchesTerm(eb, tenant, term))));

  /** Changes a column of a gateway and brings its facts in line. Nothing happens when there is no such gateway. */
  async function setColumn(
    tenant: Tenant,
    id: GatewayId,
    change: { profile: GatewayTable['profile'] } | { labels: GatewayTable['labels'] },
  ): Promise<void> {
    const row = await db
      .updateTable('gateways')
      .set(change)
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .returning(['profile', 'labels'])
      .executeTakeFirst();
    if (row) await writeFacts(db, tenant, id, factsOf(fromJson(row.profile), fromJson(row.labels)));
  }

  return {
    ...createTokenQueries(db),
    async insert(tenant, record) {
      const made = await db
        .insertInto('gateways')
        .values({
          tenant,
          id: record.id,
          token_hash: record.tokenHash ?? null,
          origin: record.origin,
          enrolled_at: record.enrolledAt,
          last_seen_at: record.lastSeenAt ?? null,
          connected_node: record.connectedNode ?? null,
          labels: toJson(record.labels),
          desired: toJson(record.desired),
          profile: toJson(record.profile),
          auto_confirm: record.autoConfirm ? toJson(record.autoConfirm) : null,
          attributes_known: toFlag(record.attributesKnown === true),
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('id')
        .executeTakeFirst();
      if (made) await writeFacts(db, tenant, record.id, factsOf(record.profile, record.labels));
      return made !== undefined;
    },
    async find(tenant, id) {
      const row = await db
        .selectFrom('gateways')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(row);
    },
    async findMany(tenant, ids) {
      const found: GatewayRecord[] = [];
      for (const some of chunks(ids, GATEWAYS_AT_ONCE)) {
        const rows = await db
          .selectFrom('gateways')
          .selectAll()
          .where('tenant', '=', tenant)
          .where('id', 'in', some)
          .execute();
        found.push(...rows.map(toRecord));
      }
      return found;
    },
    async list(tenant, { cursor, limit, selector }) {
      const [after] = decodeCursor(CURSOR, cursor) ?? [];
      let query = selected(tenant, selector)
        .selectAll()
        .orderBy('gateways.id')
        .limit(limit + 1);
      if (after !== undefined) query = query.where('gateways.id', '>', after as GatewayId);
      return toPage(await query.execute(), limit, CURSOR, (row) => [row.id] as const, toRecord);
    },
    async count(tenant, selector) {
      const { count } = await selected(tenant, selector)
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      return count;
    },
    async selectorKeys(tenant) {
      return [...new Set([...PROFILE_SELECTOR_KEYS, ...(await factKeys(db, tenant))])].toSorted();
    },
    async installedVersions(tenant, name) {
      const counts = await countValues(db, tenant, installedKey(name));
      return counts.map(({ value, gateways }) => ({ version: value, gateways }));
    },
    async gatewaysRunning(tenant, name, versions, limit) {
      const found = await gatewaysWith(db, tenant, installedKey(name), versions, limit);
      return found.map(({ id, value }) => ({ id, version: value }));
    },
    setProfile: (tenant, id, profile) => setColumn(tenant, id, { profile: toJson(profile) }),
    setLabels: (tenant, id, labels) => setColumn(tenant, id, { labels: toJson(labels) }),
    async setAutoConfirm(tenant, id, autoConfirm) {
      const changed = await db
        .updateTable('gateways')
        .set({ auto_confirm: autoConfirm ? toJson(autoConfirm) : null })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .where('auto_confirm', autoConfirm ? 'is' : 'is not', null)
        .returning('id')
        .executeTakeFirst();
      return changed !== undefined;
    },
    async setAttributesKnown(tenant, id, known) {
      await db
        .updateTable('gateways')
        .set({ attributes_known: toFlag(known) })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .where('attributes_known', '!=', toFlag(known))
        .execute();
    },
    async setTokenHash(tenant, id, tokenHash) {
      await db
        .updateTable('gateways')
        .set({ token_hash: tokenHash })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .execute();
    },
    async touch(tenant, seen) {
      // In one order everywhere, so that two nodes that write at once do not wait for each other in a ring.
      const all = [...seen].toSorted(([a], [b]) => (a < b ? -1 : 1));
      for (const some of chunks(all, GATEWAYS_AT_ONCE)) {
        const rows = sql.join(some.map(([id, at]) => sql`(cast(${id} as text), cast(${at} as bigint))`));
        await sql`
          with seen(id, at) as (values ${rows})
          update gateways set last_seen_at = seen.at from seen
          where gateways.tenant = ${tenant} and gateways.id = seen.id
            and (gateways.last_seen_at is null or gateways.last_seen_at < seen.at)`.execute(db);
      }
    },
    async setConnected(tenant, id, node, onlyIfNode) {
      await db
        .updateTable('gateways')
        .set({ connected_node: node ?? null })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .$if(onlyIfNode !== undefined, (query) => query.where('connected_node', '=', onlyIfNode ?? ''))
        .execute();
    },
    async clearConnections(node) {
      await db.updateTable('gateways').set({ connected_node: null }).where('connected_node', '=', node).execute();
    },
    changeDesired: (tenant, ids, change) => changeDesired(db, tenant, ids, change),
    async remove(tenant, id) {
      await db.deleteFrom('gateway_facts').where('tenant', '=', tenant).where('gateway_id', '=', id).execute();
      const removed = await db
        .deleteFrom('gateways')
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .returning('id')
        .executeTakeFirst();
      return removed !== undefined;
    },
  };
}

function toRecord(row: Selectable<GatewayTable>): GatewayRecord {
  return {
    id: row.id,
    profile: fromJson(row.profile),
    labels: fromJson(row.labels),
    ...present({ tokenHash: row.token_hash, lastSeenAt: row.last_seen_at, connectedNode: row.connected_node }),
    origin: row.origin,
    enrolledAt: row.enrolled_at,
    desired: fromJson(row.desired),
    ...(row.auto_confirm === null ? {} : { autoConfirm: fromJson(row.auto_confirm) }),
    ...(row.attributes_known === 1 ? { attributesKnown: true } : {}),
  };
}

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += size) yield items.slice(i, i + size);
}
