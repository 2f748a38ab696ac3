/**
 * A gateway's facts: what selectors can name, one value for each key. The operator's labels win over the gateway's own,
 * those over its profile, that over the attributes a DDI client sends. `id` is none of them: it is always the id, whatever
 * a label of that name says, since a gateway must not be able to pose as another. `app/NAME` is the version installed,
 * `fact/NAME` what the gateway's own fact says, and nothing else.
 */
import {
  boardWord,
  FACT_KEY_PREFIX,
  type GatewayId,
  type GatewayProfile,
  INSTALLED_KEY_PREFIX,
  isReservedKey,
  type Labels,
  type Tenant,
} from '@leonore/protocol';
import { type Db, plainText } from '../schema.ts';

/** Facts longer than a column's index bears: longer keys are no facts, longer values are cut and only known to be there. */
const MAX_KEY = 128;
const MAX_VALUE = 255;
const ROWS_AT_ONCE = 500;

export type Facts = ReadonlyMap<string, string>;

export function factsOf(profile: GatewayProfile, labels: Labels): Facts {
  const { os, arch, libc, kernel, hostname, agent, distribution, network } = profile;
  const board = profile.board === undefined ? undefined : boardWord(profile.board);
  const facts = new Map<string, string>();
  for (const source of [
    profile.attributes,
    { os, arch, libc, kernel, hostname, agent: agent?.name, board, subnet: network?.subnet },
    { distribution: distribution?.id, 'distribution-version': distribution?.version },
    profile.labels,
    labels,
  ]) {
    for (const [key, value] of Object.entries(source)) {
      if (value === undefined || key === 'id' || key === '' || key.length > MAX_KEY) continue;
      if (isReservedKey(key)) continue;
      facts.set(plainText(key), plainText(value).slice(0, MAX_VALUE + 1));
    }
  }
  for (const { name, version } of profile.installed ?? []) facts.set(installedKey(name), version);
  for (const [name, value] of Object.entries(profile.facts ?? {}))
    facts.set(`${FACT_KEY_PREFIX}${name}`, plainText(String(value)));
  return facts;
}

/** The key under which the installed version of an artifact is a fact. */
export function installedKey(name: string): string {
  return `${INSTALLED_KEY_PREFIX}${name}`;
}

/** True when a fact may have exactly this value; one that was cut or mended never has. */
export function isComparable(value: string): boolean {
  return value.length <= MAX_VALUE && !value.includes('\0');
}

/** Writes what is new, changes what differs, takes away what is gone. */
export async function writeFacts(db: Db, tenant: Tenant, id: GatewayId, facts: Facts): Promise<void> {
  const rows = await db
    .selectFrom('gateway_facts')
    .select(['key', 'value'])
    .where('tenant', '=', tenant)
    .where('gateway_id', '=', id)
    .execute();
  const known = new Map(rows.map(({ key, value }) => [key, value]));
  const gone = [...known.keys()].filter((key) => !facts.has(key));
  const changed = [...facts].filter(([key, value]) => known.get(key) !== value);
  for (let i = 0; i < gone.length; i += ROWS_AT_ONCE) {
    await db
      .deleteFrom('gateway_facts')
      .where('tenant', '=', tenant)
      .where('gateway_id', '=', id)
      .where('key', 'in', gone.slice(i, i + ROWS_AT_ONCE))
      .execute();
  }
  for (let i = 0; i < changed.length; i += ROWS_AT_ONCE) {
    await db
      .insertInto('gateway_facts')
      .values(changed.slice(i, i + ROWS_AT_ONCE).map(([key, value]) => ({ tenant, gateway_id: id, key, value })))
      .onConflict((conflict) =>
        conflict.columns(['tenant', 'gateway_id', 'key']).doUpdateSet((eb) => ({ value: eb.ref('excluded.value') })),
      )
      .execute();
  }
}

/** How many gateways have which value of a key: counted in the index, in order of value. */
export function countValues(
  db: Db,
  tenant: Tenant,
  key: string,
): Promise<readonly { readonly value: string; readonly gateways: number }[]> {
  return db
    .selectFrom('gateway_facts')
    .select((eb) => ['value', eb.fn.countAll<number>().as('gateways')])
    .where('tenant', '=', tenant)
    .where('key', '=', key)
    .groupBy('value')
    .orderBy('value')
    .execute();
}

/** The first gateways by id that have one of these values. */
export async function gatewaysWith(
  db: Db,
  tenant: Tenant,
  key: string,
  values: readonly string[],
  limit: number,
): Promise<readonly { readonly id: GatewayId; readonly value: string }[]> {
  if (values.length === 0) return [];
  return db
    .selectFrom('gateway_facts')
    .select(['gateway_id as id', 'value'])
    .where('tenant', '=', tenant)
    .where('key', '=', key)
    .where('value', 'in', values.slice(0, ROWS_AT_ONCE))
    .orderBy('gateway_id')
    .limit(limit)
    .execute();
}

/** Every key that some gateway has, found by leaping from key to key in the index: its cost does not grow with the fleet. */
export async function factKeys(db: Db, tenant: Tenant): Promise<readonly string[]> {
  const rows = await db
    .withRecursive('leap(key)', (query) =>
      query
        .selectFrom('gateway_facts')
        .select((eb) => eb.fn.min('key').as('key'))
        .where('tenant', '=', tenant)
        .unionAll(
          query
            .selectFrom('leap')
            .select((eb) =>
              eb
                .selectFrom('gateway_facts')
                .select((inner) => inner.fn.min('key').as('key'))
                .where('tenant', '=', tenant)
                .whereRef('gateway_facts.key', '>', 'leap.key')
                .$asScalar()
                .as('key'),
            )
            .where('leap.key', 'is not', null),
        ),
    )
    .selectFrom('leap')
    .select('key')
    .where('key', 'is not', null)
    .execute();
  return rows.flatMap(({ key }) => (key === null ? [] : [key]));
}
