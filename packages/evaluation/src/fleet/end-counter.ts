import type { VirtualGateway } from './virtual-gateway.ts';

/** Counts what each gateway has ended, and wakes who waits for all of them. */
export interface EndCounter {
  note(gateway: VirtualGateway): void;
  /** Rejects with the signal's reason when it is aborted. */
  waitForAll(gateways: readonly VirtualGateway[], taskCount: number, signal: AbortSignal): Promise<void>;
}

export function createEndCounter(): EndCounter {
  const ended = new Map<VirtualGateway, number>();
  const waiters = new Set<{ taskCount: number; missing: number; resolve: () => void }>();
  return {
    note(gateway: VirtualGateway): void {
      const count = (ended.get(gateway) ?? 0) + 1;
      ended.set(gateway, count);
      for (const waiter of waiters) {
        if (waiter.taskCount === count && --waiter.missing === 0) waiter.resolve();
      }
    },
    async waitForAll(gateways: readonly VirtualGateway[], taskCount: number, signal: AbortSignal): Promise<void> {
      signal.throwIfAborted();
      const missing = gateways.filter((gateway) => (ended.get(gateway) ?? 0) < taskCount).length;
      if (missing === 0) return;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiter = { taskCount, missing, resolve };
      const abort = (): void => reject(signal.reason);
      waiters.add(waiter);
      signal.addEventListener('abort', abort);
      try {
        await promise;
      } finally {
        waiters.delete(waiter);
        signal.removeEventListener('abort', abort);
      }
    },
  };
}
