/**
 * A rollout as it changes, until it ends: told by events, and asked for now and then in case one was lost. A node that is
 * away for a while is waited for. Leaves to others: how it is shown.
 */
import type { Client } from '@leonore/client';
import { isLeonoreError, type Rollout } from '@leonore/protocol';

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** How often to ask even when no event comes. */
  readonly pollMs?: number;
  /** Told while the node cannot be reached, with why; undefined when it is back. */
  readonly onLost?: (why: string | undefined) => void;
}

export function hasEnded(rollout: Rollout): boolean {
  return rollout.state !== 'running' && rollout.state !== 'paused';
}

/** The last one has ended. Throws the signal's reason when it is aborted before that. */
export async function* followRollout(
  client: Client,
  id: number | string,
  options: FollowOptions,
): AsyncGenerator<Rollout, void, undefined> {
  const { signal, pollMs = 2000, onLost } = options;
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  let pushed: Rollout | undefined;
  let wake: (() => void) | undefined;

  async function listen(): Promise<void> {
    for await (const event of client.events({ signal: both })) {
      if (event.type === 'reset') wake?.();
      else if (event.type === 'rollout' && String(event.rollout.id) === String(id)) {
        pushed = event.rollout;
        wake?.();
      }
    }
  }
  // Asking is enough to go on: when events are refused, the questions say why.
  const listening = listen().catch(() => undefined);

  try {
    let known: Rollout | undefined;
    for (;;) {
      signal.throwIfAborted();
      const told = pushed;
      pushed = undefined;
      try {
        known = told ?? (await client.rollouts.get(id, { signal }));
        onLost?.(undefined);
        yield known;
        if (hasEnded(known)) return;
      } catch (error) {
        if (known === undefined || !isLeonoreError(error) || !error.retryable) throw error;
        onLost?.(error.message);
        yield known;
      }
      if (pushed === undefined) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          both.addEventListener('abort', wake, { once: true });
        });
        if (wake) both.removeEventListener('abort', wake);
        wake = undefined;
      }
    }
  } finally {
    stop.abort();
    await listening;
  }
}
