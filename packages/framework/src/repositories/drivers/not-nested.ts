/** Refuses a write that is begun inside another: it would wait for the transaction that waits for it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Repositories } from '../contract.ts';

export function notNested(write: Repositories['write']): Repositories['write'] {
  const inside = new AsyncLocalStorage<{ open: boolean }>();
  return async (work) => {
    if (inside.getStore()?.open) {
      throw new Error('a write was begun inside another write; use the repositories that the outer one was given');
    }
    return write(async (set) => {
      const scope = { open: true };
      try {
        return await inside.run(scope, () => work(set));
      } finally {
        scope.open = false;
      }
    });
  };
}
