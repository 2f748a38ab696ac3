/** Numbers that rise by one, counted in the database: what is given is never given again. */
import type { Tenant } from '@leonore/protocol';
import type { CounterTable, Db } from './schema.ts';

type CounterName = CounterTable['name'];

export async function countUp(db: Db, tenant: Tenant, name: CounterName): Promise<number> {
  const { value } = await db
    .insertInto('counters')
    .values({ tenant, name, value: 1 })
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'name']).doUpdateSet((eb) => ({ value: eb('counters.value', '+', 1) })),
    )
    .returning('value')
    .executeTakeFirstOrThrow();
  return value;
}

/** 0 before the first. */
export async function counted(db: Db, tenant: Tenant, name: CounterName): Promise<number> {
  const row = await db
    .selectFrom('counters')
    .select('value')
    .where('tenant', '=', tenant)
    .where('name', '=', name)
    .executeTakeFirst();
  return row?.value ?? 0;
}
