/** Last signs of life, gathered and written together: a poll costs no write of its own. */
import type { GatewayId, Tenant } from '@leonore/protocol';
import type { Repositories } from '../repositories/mod.ts';

export interface Liveness extends AsyncDisposable {
  seen(tenant: Tenant, id: GatewayId): void;
  /** What is newer than the database knows. */
  lastSeen(tenant: Tenant, id: GatewayId): number | undefined;
  /** Writes what was gathered. */
  flush(): Promise<void>;
}

export function createLiveness(
  deps: { repositories: Repositories; now: () => number; onError: (error: unknown) => void },
  options: { flushIntervalMs: number },
): Liveness {
  let gathered = new Map<Tenant, Map<GatewayId, number>>();
  let writing: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    const batch = gathered;
    gathered = new Map();
    for (const [tenant, seen] of batch) await deps.repositories.write((tx) => tx.gateways.touch(tenant, seen));
  }

  const timer = setInterval(() => {
    if (gathered.size === 0) return;
    writing = writing.then(flush).catch(deps.onError);
  }, options.flushIntervalMs);
  timer.unref();

  return {
    seen(tenant, id) {
      let ofTenant = gathered.get(tenant);
      if (!ofTenant) gathered.set(tenant, (ofTenant = new Map()));
      ofTenant.set(id, deps.now());
    },
    lastSeen: (tenant, id) => gathered.get(tenant)?.get(id),
    flush,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await writing;
      await flush();
    },
  };
}
