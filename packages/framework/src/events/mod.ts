/**
 * The event bus of one node: what changed, for whoever watches (the API's event stream). Keeps the last events so that a
 * watcher that was away for a moment goes on where it was. A hint only: the database is the truth.
 */
import type { LeonoreEvent, Tenant } from '@leonore/protocol';

export interface NumberedEvent {
  readonly id: number;
  readonly event: LeonoreEvent;
}

export interface EventBus {
  publish(tenant: Tenant, event: LeonoreEvent): void;
  /**
   * Calls `listener` for each event from now on; returns how to stop. With `afterId`, kept events after it come first;
   * when some of those are gone already, a `reset` event comes instead.
   */
  subscribe(tenant: Tenant, listener: (event: NumberedEvent) => void, afterId?: number): () => void;
}

export function createEventBus(options: { keep: number }): EventBus {
  let lastId = 0;
  const kept: { tenant: Tenant; numbered: NumberedEvent }[] = [];
  const listeners = new Set<{ tenant: Tenant; listener: (event: NumberedEvent) => void }>();

  return {
    publish(tenant, event) {
      const numbered: NumberedEvent = { id: ++lastId, event };
      kept.push({ tenant, numbered });
      // Trimmed in blocks: a shift for each event would move the whole array each time.
      if (kept.length > options.keep * 2) kept.splice(0, kept.length - options.keep);
      for (const entry of listeners) if (entry.tenant === tenant) entry.listener(numbered);
    },
    subscribe(tenant, listener, afterId) {
      if (afterId !== undefined) {
        const oldest = kept[0]?.numbered.id ?? lastId + 1;
        if (afterId > lastId || afterId < oldest - 1) listener({ id: lastId, event: { type: 'reset' } });
        else
          for (const entry of kept)
            if (entry.tenant === tenant && entry.numbered.id > afterId) listener(entry.numbered);
      }
      const entry = { tenant, listener };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
  };
}
