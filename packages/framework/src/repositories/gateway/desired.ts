/**
 * What gateways shall have, changed for many at once: gateways with the same desired state are written by one statement.
 * An update changes only what is still as it was read, and what is not is read again: on PostgreSQL another node may be quicker.
 */
import type { GatewayId, Tenant } from '@leonore/protocol';
import type { DesiredApplication } from '../contract.ts';
import { fromJson, toJson, type Db, type GatewayTable } from '../schema.ts';

export interface DesiredChange {
  readonly set: readonly DesiredApplication[];
  readonly remove: readonly string[];
}

/** An application asked for again keeps its place; a new one comes last. */
export function applyChange(desired: readonly DesiredApplication[], change: DesiredChange): DesiredApplication[] {
  const byName = new Map(desired.map((application) => [application.name as string, application]));
  for (const name of change.remove) byName.delete(name);
  for (const application of change.set) byName.set(application.name, application);
  return [...byName.values()];
}

const GATEWAYS_AT_ONCE = 500;

export async function changeDesired(
  db: Db,
  tenant: Tenant,
  ids: readonly GatewayId[],
  change: DesiredChange,
): Promise<void> {
  for (let i = 0; i < ids.length; i += GATEWAYS_AT_ONCE) {
    let left: readonly GatewayId[] = ids.slice(i, i + GATEWAYS_AT_ONCE);
    while (left.length > 0) left = await changeSome(db, tenant, left, change);
  }
}

/** The gateways that were changed by somebody else in between. */
async function changeSome(
  db: Db,
  tenant: Tenant,
  ids: readonly GatewayId[],
  change: DesiredChange,
): Promise<readonly GatewayId[]> {
  const rows = await db
    .selectFrom('gateways')
    .select(['id', 'desired'])
    .where('tenant', '=', tenant)
    .where('id', 'in', ids)
    .execute();
  const left: GatewayId[] = [];
  for (const [before, alike] of Map.groupBy(rows, (row) => row.desired)) {
    const after: GatewayTable['desired'] = toJson(applyChange(fromJson(before), change));
    if (after === before) continue;
    const group = alike.map(({ id }) => id);
    const changed = await db
      .updateTable('gateways')
      .set({ desired: after })
      .where('tenant', '=', tenant)
      .where('id', 'in', group)
      .where('desired', '=', before)
      .returning('id')
      .execute();
    const done = new Set(changed.map(({ id }) => id));
    left.push(...group.filter((id) => !done.has(id)));
  }
  return left;
}
