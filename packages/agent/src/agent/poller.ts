/** Asks the server for work: the ground truth by pull, the repair beside push. Decides when to ask, not what to do. */
import { type DdiDeployment, LeonoreError } from '@leonore/protocol';
import {
  createBackoff,
  createBell,
  errorText,
  type HttpConnectivity,
  jitter,
  type Logger,
  type PollAnswer,
  retryAfterMs,
} from '../connectivity/mod.ts';

export interface PollerOptions {
  readonly http: Pick<HttpConnectivity, 'poll' | 'deployment' | 'cancel'>;
  /** Between two polls, ms, when the server's wish is `sleepSeconds`. */
  readonly intervalMs: (sleepSeconds: number | undefined) => number;
  readonly onTask: (deployment: DdiDeployment) => Promise<void>;
  readonly onCancel: (actionId: string) => Promise<void>;
  /** There was no task for this gateway when it asked at `askedAt`, ms since 1970. */
  readonly onIdle: (askedAt: number) => void;
  /** The server does not take the credentials. */
  readonly onStranger: (signal: AbortSignal) => Promise<void>;
  readonly longPollSeconds?: number | undefined;
  readonly now: () => number;
  readonly logger: Logger;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number } | undefined;
}

export interface Poller {
  /** Asks without waiting for the interval. */
  now(): void;
  /** Asks at a random moment within `ms`, so that a fleet that lost its broker does not ask all at once. */
  soon(ms: number): void;
  run(signal: AbortSignal): Promise<void>;
}

export function createPoller(options: PollerOptions): Poller {
  const { http, logger } = options;
  const bell = createBell();
  let known: { url: string; deployment: DdiDeployment } | undefined;

  const handle = async (answer: PollAnswer, askedAt: number, signal: AbortSignal): Promise<void> => {
    if (answer.cancelUrl !== undefined) {
      const cancel = await http.cancel(answer.cancelUrl, signal);
      if (cancel) await options.onCancel(cancel.cancelAction.stopId);
    }
    if (answer.deploymentUrl === undefined) {
      known = undefined;
      if (answer.cancelUrl === undefined) options.onIdle(askedAt);
      return;
    }
    if (known?.url !== answer.deploymentUrl) {
      const deployment = await http.deployment(answer.deploymentUrl, signal);
      known = deployment ? { url: answer.deploymentUrl, deployment } : undefined;
    }
    if (known) await options.onTask(known.deployment);
  };

  return {
    now: () => bell.ring(),
    soon: (ms) => void setTimeout(() => bell.ring(), Math.random() * ms).unref(),
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: 300_000, ...options.backoff });
      while (!signal.aborted) {
        let waitMs: number;
        try {
          const askedAt = options.now();
          const answer = await http.poll({ waitSeconds: options.longPollSeconds, signal });
          await handle(answer, askedAt, signal);
          backoff.reset();
          waitMs = jitter(options.intervalMs(answer.sleepSeconds), 0.1);
        } catch (error) {
          if (signal.aborted) return;
          waitMs = backoff.next(retryAfterMs(error));
          logger.warn('cannot ask the server for work; trying again', {
            error: errorText(error),
            inMs: Math.round(waitMs),
          });
          if (error instanceof LeonoreError && error.details['httpStatus'] === 401) await options.onStranger(signal);
        }
        await bell.wait({ ms: waitMs, signal });
      }
    },
  };
}
