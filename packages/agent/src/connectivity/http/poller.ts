/** Asks the server for work: the ground truth by pull, the repair beside push. Decides when to ask, not what to do. */
import { type DdiDeployment, LeonoreError } from '@leonore/protocol';
import type { ChannelContext } from '../channel.ts';
import { createBackoff, createBell, jitter, MAX_BACKOFF_MS } from '../wait.ts';
import { retryAfterMs } from './answers.ts';
import type { HttpConnectivity, PollAnswer } from './http-connectivity.ts';

export interface PollerOptions
  extends Pick<
    ChannelContext,
    'listener' | 'intervalMs' | 'longPollSeconds' | 'retry' | 'clock' | 'random' | 'contact'
  > {
  readonly http: Pick<HttpConnectivity, 'poll' | 'deployment' | 'cancel'>;
}

export interface Poller {
  /** Asks without waiting for the interval: now, or at a random moment within `withinMs`. */
  ask(withinMs: number): void;
  run(signal: AbortSignal): Promise<void>;
}

/** After a question that the server held to its end the next one follows within, ms. */
const HELD_AGAIN_MS = 1000;

export function createPoller(options: PollerOptions): Poller {
  const { http, listener, clock, random, contact } = options;
  const bell = createBell(clock);
  const ended = new AbortController();
  const holdMs = (options.longPollSeconds ?? 0) * 1000;
  let known: { url: string; deployment: DdiDeployment } | undefined;

  const handle = async (answer: PollAnswer, askedAt: number, signal: AbortSignal): Promise<void> => {
    const { mqttUrl, coapUrl } = answer;
    if (mqttUrl !== undefined || coapUrl !== undefined) {
      listener.onAddresses({
        ...(mqttUrl === undefined ? {} : { mqttUrl }),
        ...(coapUrl === undefined ? {} : { coapUrl }),
      });
    }
    if (answer.profileWanted) listener.onProfileWanted();
    if (answer.cancelUrl !== undefined) {
      const cancel = await http.cancel(answer.cancelUrl, signal);
      if (cancel) await listener.onCancel(cancel.cancelAction.stopId);
    }
    if (answer.deploymentUrl === undefined) {
      known = undefined;
      if (answer.cancelUrl === undefined) listener.onIdle(askedAt);
      return;
    }
    if (known?.url !== answer.deploymentUrl) {
      const deployment = await http.deployment(answer.deploymentUrl, signal);
      known = deployment ? { url: answer.deploymentUrl, deployment } : undefined;
    }
    if (known) await listener.onTask(known.deployment);
  };

  /** A server that knows nothing of holding answers at once, and is asked at the interval. */
  const wasHeld = (answer: PollAnswer, askedAt: number): boolean =>
    holdMs > 0 && answer.deploymentUrl === undefined && clock.elapsed() - askedAt >= holdMs * 0.9;

  return {
    ask(withinMs) {
      if (withinMs <= 0) return bell.ring();
      void clock.sleep(random() * withinMs, ended.signal).then(
        () => bell.ring(),
        () => undefined,
      );
    },
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: MAX_BACKOFF_MS, ...options.retry, random });
      while (!signal.aborted) {
        let waitMs: number;
        const askedAt = clock.elapsed();
        try {
          const answer = await http.poll({ waitSeconds: options.longPollSeconds, signal });
          await handle(answer, askedAt, signal);
          contact.back();
          backoff.reset();
          const intervalMs = options.intervalMs(answer.sleepSeconds);
          waitMs = wasHeld(answer, askedAt)
            ? random() * Math.min(HELD_AGAIN_MS, intervalMs)
            : jitter(intervalMs, 0.1, random);
        } catch (error) {
          if (signal.aborted) break;
          waitMs = backoff.next(retryAfterMs(error));
          contact.lost(error, waitMs);
          if (error instanceof LeonoreError && error.details['httpStatus'] === 401) await listener.onStranger(signal);
        }
        await bell.wait({ ms: waitMs, signal });
      }
      ended.abort();
    },
  };
}
