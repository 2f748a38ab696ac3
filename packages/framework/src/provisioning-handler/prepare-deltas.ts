/** Before gateways are told of their tasks: has the deltas made that they can apply, as far as that is done soon. */
import { isLeonoreError, type Tenant } from '@leonore/protocol';
import type { Deltas, PackageBuilder } from '../package-builder/mod.ts';
import type { GatewayRecord, PackageRecord } from '../repositories/mod.ts';
import type { ClassPlan } from './planner.ts';

/** `plans`: of these gateways, in their order. */
export type PrepareDeltas = (
  tenant: Tenant,
  gateways: readonly GatewayRecord[],
  plans: readonly ClassPlan[],
) => Promise<void>;

export function createDeltaPreparation(
  deps: { builder: Pick<PackageBuilder, 'find'>; deltas?: Pick<Deltas, 'prepare'> },
  signal: AbortSignal,
): PrepareDeltas {
  const { builder, deltas } = deps;
  return async (tenant, gateways, plans) => {
    if (!deltas) return;
    const wanted = gateways.flatMap(({ profile }, index) => {
      const plan = plans[index];
      return plan?.kind === 'package' && profile.deltas?.includes('zstd') ? [plan.package] : [];
    });
    const found = await Promise.all([...new Set(wanted)].map((id) => builder.find(tenant, id).catch(notThere)));
    const records = found.filter((record) => record !== undefined);
    if (records.length > 0) await deltas.prepare(records, signal);
  };
}

/** It is planned again then. */
function notThere(error: unknown): PackageRecord | undefined {
  if (isLeonoreError(error, 'package.unknown')) return undefined;
  throw error;
}
