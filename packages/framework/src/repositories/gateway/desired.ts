/** What gateways shall have, changed for many at once: those that shall have the same are written by one statement. */
import type { GatewayId, Tenant } from '@leonore/protocol';
import type { DesiredApplication } from '../contract.ts';
import { type Db, fromJson, type GatewayTable, toJson } from '../schema.ts';

export interface DesiredChange {
  readonly set: readonly DesiredApplication[];
  readonly remove: readonly string[];
}

/** An application asked for again keeps its place; a new one comes last. */
function applyChange(desired: readonly DesiredApplication[], change: DesiredChange): DesiredApplication[] {
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
    const rows = await db
      .selectFrom('gateways')
      .select(['id', 'desired'])
      .where('tenant', '=', tenant)
      .where('id', 'in', ids.slice(i, i + GATEWAYS_AT_ONCE))
      .execute();
    for (const [before, alike] of Map.groupBy(rows, (row) => row.desired)) {
      const after: GatewayTable['desired'] = toJson(applyChange(fromJson(before), change));
      if (after === before) continue;
      const group = alike.map(({ id }) => id);
      await db
        .updateTable('gateways')
        .set({ desired: after })
        .where('tenant', '=', tenant)
        .where('id', 'in', group)
        .execute();
    }
  }
}
