/** Sends the profile: whole at the start, then what has changed, when something has. */
import type { GatewayProfile } from '@leonore/protocol';
import { createBackoff, createBell, errorText, type Logger, retryAfterMs } from '../connectivity/mod.ts';
import { diffPatch, newsOf, type Profiler } from '../profiler/mod.ts';

export interface ProfileSenderOptions {
  readonly profiler: Profiler;
  readonly putWhole: (profile: GatewayProfile, signal: AbortSignal) => Promise<void>;
  readonly sendPatch: (patch: unknown, signal: AbortSignal) => Promise<void>;
  readonly checkMs: number;
  readonly logger: Logger;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number } | undefined;
}

export interface ProfileSender {
  /** Something has changed: look now. */
  look(): void;
  run(signal: AbortSignal): Promise<void>;
}

/** Changes that come together are sent together, ms. */
const GATHER_MS = 300;

export function createProfileSender(options: ProfileSenderOptions): ProfileSender {
  const bell = createBell();
  return {
    look: () => bell.ring(),
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: 300_000, ...options.backoff });
      let sent: GatewayProfile | undefined;
      while (!signal.aborted) {
        let waitMs = options.checkMs;
        try {
          const profile = await options.profiler.profile();
          if (!sent) await options.putWhole(profile, signal);
          else if (JSON.stringify(newsOf(profile)) !== JSON.stringify(newsOf(sent))) {
            await options.sendPatch(diffPatch(sent, profile), signal);
          } else {
            await bell.wait({ ms: waitMs, signal });
            await bell.wait({ ms: GATHER_MS, signal });
            continue;
          }
          sent = profile;
          backoff.reset();
        } catch (error) {
          if (signal.aborted) return;
          // Whatever the server has of it now: the next one is whole.
          sent = undefined;
          waitMs = backoff.next(retryAfterMs(error));
          options.logger.warn('the profile could not be sent; trying again', {
            error: errorText(error),
            inMs: Math.round(waitMs),
          });
        }
        await bell.wait({ ms: waitMs, signal });
        await bell.wait({ ms: GATHER_MS, signal });
      }
    },
  };
}
