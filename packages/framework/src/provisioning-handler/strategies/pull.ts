/** Pull: the task waits for the gateway's next poll; a poll that is held open (long poll) is answered at once. */
import type { GatewayId, Tenant } from '@leonore/protocol';
import type { ProvisioningStrategy } from './strategy.ts';

export interface PullStrategy extends ProvisioningStrategy {
  /** Fulfilled when there is work for the gateway, or when the signal ends it. */
  untilWork(tenant: Tenant, gateway: GatewayId, signal: AbortSignal): Promise<void>;
}

export function createPullStrategy(): PullStrategy {
  const waiting = new Map<string, Set<() => void>>();

  function wake(tenant: Tenant, gateway: GatewayId): Promise<void> {
    for (const resolve of waiting.get(`${tenant}/${gateway}`) ?? []) resolve();
    return Promise.resolve();
  }

  return {
    offer: wake,
    cancel: wake,
    untilWork(tenant, gateway, signal) {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const key = `${tenant}/${gateway}`;
        const polls = waiting.get(key) ?? new Set();
        waiting.set(key, polls);
        const done = () => {
          polls.delete(done);
          if (polls.size === 0) waiting.delete(key);
          signal.removeEventListener('abort', done);
          resolve();
        };
        polls.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    },
  };
}
