/** Who asks for work far more often than it was told to. Kept in memory only, for the gateways that polled last. */
import type { GatewayId, Tenant } from '@leonore/protocol';

export interface PollWatch {
  /** A gateway polled, there was nothing to do, and it was told to come again in `intervalSeconds`. How many times too often by now: 0 where it keeps to it. */
  polled(tenant: Tenant, id: GatewayId, intervalSeconds: number): number;
  /** Its polls in the interval that goes on; undefined when these are no more than it may need. */
  hasty(tenant: Tenant, id: GatewayId): number | undefined;
}

/** Updaters of other makers come a few times in a row: at their start, around an installation, after a lost connection. */
const ALLOWED = 5;
const MAX_GATEWAYS = 10_000;

interface Polls {
  readonly until: number;
  count: number;
}

export function createPollWatch({ now }: { now: () => number }, maxGateways = MAX_GATEWAYS): PollWatch {
  /** The interval that began longest ago comes first. */
  const watched = new Map<string, Polls>();
  const keyOf = (tenant: Tenant, id: GatewayId) => `${tenant}/${id}`;

  return {
    polled(tenant, id, intervalSeconds) {
      const key = keyOf(tenant, id);
      const at = now();
      const known = watched.get(key);
      if (known && at < known.until) return Math.max(0, ++known.count - ALLOWED);
      watched.delete(key);
      const [oldest] = watched.keys();
      if (oldest !== undefined && watched.size >= maxGateways) watched.delete(oldest);
      watched.set(key, { until: at + intervalSeconds * 1000, count: 1 });
      return 0;
    },
    hasty(tenant, id) {
      const known = watched.get(keyOf(tenant, id));
      return known && now() < known.until && known.count > ALLOWED ? known.count : undefined;
    },
  };
}
