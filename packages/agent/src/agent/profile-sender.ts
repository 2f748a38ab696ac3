/**
 * Sends the profile: whole to a server that does not have it, else what has changed, when something has.
 *
 *     whole --taken--> told --news--> a patch from the told revision --taken--> told
 *       ^                                |            |
 *       +---- refused: another state ----+            +-- no answer: the same patch again, which is applied once
 *
 * Facts are told when they change, figures at a slow interval if they have moved (see the profiler). Of what changes again
 * and again there are ten messages, then one a minute. A server that was set back has another revision: once a day even a
 * gateway without news asks whether it is still the same.
 */
import { type GatewayProfile, LeonoreError, PATCH_BASE_KEY } from '@leonore/protocol';
import {
  createBackoff,
  createBell,
  errorText,
  isPassing,
  jitter,
  type Logger,
  retryAfterMs,
  sleep,
} from '../connectivity/mod.ts';
import { diffPatch, newsOf, type Profiler } from '../profiler/mod.ts';
import { stamped, type ToldProfile } from './told-profile.ts';

export interface ProfileSenderOptions {
  readonly profiler: Profiler;
  readonly told: ToldProfile;
  readonly putWhole: (profile: GatewayProfile, signal: AbortSignal) => Promise<void>;
  /** Over a way without answers a refusal shows later: the server asks for the profile. */
  readonly sendPatch: (patch: unknown, signal: AbortSignal) => Promise<void>;
  /** Between two looks, ms. */
  readonly checkMs: number;
  /** Between two messages about figures, and two looks at what costs something, ms. */
  readonly slowMs: number;
  /** Changes that come together within this time are sent together, ms. */
  readonly gatherMs?: number;
  readonly logger: Logger;
  /** Milliseconds since some moment. */
  readonly now?: () => number;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number } | undefined;
}

export interface ProfileSender {
  /** Something has changed: look now. */
  look(): void;
  /** The server does not have it: send it whole. */
  tellAll(): void;
  run(signal: AbortSignal): Promise<void>;
}

const GATHER_MS = 300;
/** So many messages may come close together; each minute gives one back. */
const BURST = 10;
const MINUTE_MS = 60_000;
const ASK_AGAIN_MS = 24 * 3_600_000;

export function createProfileSender(options: ProfileSenderOptions): ProfileSender {
  const { profiler, told, logger, gatherMs = GATHER_MS } = options;
  const now = options.now ?? (() => performance.now());
  const bell = createBell();
  let figuresAt = now();
  let sentAt = now();
  /** A patch without an answer, and the profile that it makes. */
  let unanswered: { readonly patch: object; readonly next: GatewayProfile; readonly reports: number } | undefined;

  /** What is installed is not kept as told when a report has said something of it since. */
  const keep = ({ installed, ...rest }: GatewayProfile, reports: number): Promise<void> =>
    told.keep(installed === undefined || told.reports !== reports ? rest : { ...rest, installed });

  /** True when something was sent. */
  const sendNews = async (signal: AbortSignal): Promise<boolean> => {
    const found = await profiler.profile();
    const timeForFigures = now() - figuresAt >= options.slowMs;
    const reports = told.reports;
    if (!told.profile) {
      const whole = stamped(found);
      await options.putWhole(whole, signal);
      await keep(whole, reports);
      figuresAt = now();
      return true;
    }
    if (!unanswered) {
      const due = now() - sentAt >= ASK_AGAIN_MS;
      const news =
        newsOf(told.profile, found, timeForFigures) ?? (due ? { ...told.profile, uptime: found.uptime } : undefined);
      if (timeForFigures) figuresAt = now();
      if (!news) return false;
      const next = stamped(news);
      const { reportedAt: _, ...before } = told.profile;
      const patch = { ...(diffPatch(before, next) as object), [PATCH_BASE_KEY]: before.revision };
      unanswered = { patch, next, reports };
    }
    const sending = unanswered;
    await options.sendPatch(sending.patch, signal);
    // Unless all of it was asked for meanwhile.
    if (unanswered !== sending) return true;
    unanswered = undefined;
    await keep(sending.next, sending.reports);
    return true;
  };

  const tellAll = (): void => {
    // Under way already.
    if (!told.profile) return;
    told.forget();
    unanswered = undefined;
    bell.ring();
  };

  const refreshNowAndThen = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await sleep(jitter(options.slowMs, 0.1), signal);
      await profiler.refresh(signal);
      bell.ring();
    }
  };

  const send = async (signal: AbortSignal): Promise<void> => {
    const backoff = createBackoff({ initialMs: 1000, maxMs: 300_000, ...options.backoff });
    let allowance = BURST;
    let countedAt = now();
    while (!signal.aborted) {
      try {
        const sent = await sendNews(signal);
        backoff.reset();
        if (sent) {
          sentAt = now();
          allowance -= 1;
        }
      } catch (error) {
        if (signal.aborted) return;
        if ((isFinal(error) || !isPassing(error)) && told.profile) {
          logger.info('the server takes no change of the profile; sending it whole', { error: errorText(error) });
          tellAll();
          continue;
        }
        const waitMs = Math.max(backoff.next(retryAfterMs(error)), isFinal(error) ? options.slowMs : 0);
        logger.warn('the profile could not be sent; trying again', {
          error: errorText(error),
          inMs: Math.round(waitMs),
        });
        await sleep(waitMs, signal);
        continue;
      }
      await bell.wait({ ms: options.checkMs, signal });
      allowance = Math.min(BURST, allowance + (now() - countedAt) / MINUTE_MS);
      countedAt = now();
      await sleep(Math.max(gatherMs, (1 - allowance) * MINUTE_MS), signal);
    }
  };

  return {
    look: () => bell.ring(),
    tellAll,
    async run(signal) {
      // Both come to their end: what was sent is still noted.
      const ends = await Promise.allSettled([send(signal), refreshNowAndThen(signal)]);
      const failed = ends.find((end) => end.status === 'rejected');
      if (failed && !signal.aborted) throw failed.reason;
    },
  };
}

/** The server understood, and will say the same tomorrow. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof LeonoreError)) return false;
  const status = error.details['httpStatus'];
  return error.code === 'quota.exceeded' || status === 400 || status === 413 || status === 422;
}
