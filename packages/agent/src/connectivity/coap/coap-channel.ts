/**
 * CoAP as a channel: observes the task and asks again now and then, which keeps the way open and shows that the server is
 * there; carries everything. Answered no more it is no channel, until the server answers again.
 */
import { randomBytes } from 'node:crypto';
import { coapTaskSchema, type CoapTiming, ddiCancelSchema, ddiDeploymentSchema, LeonoreError } from '@leonore/protocol';
import type { Channel, ChannelContext, Protocol } from '../channel.ts';
import { retryAfterMs } from '../http/answers.ts';
import { errorText } from '../logger.ts';
import { createBackoff, createBell, jitter, MAX_BACKOFF_MS } from '../wait.ts';
import { type CoapClient, createCoapClient } from './coap-client.ts';
import { type CoapConnectivity, type CoapDocument, createCoapConnectivity } from './coap-connectivity.ts';

export const coapProtocol: Protocol = {
  name: 'coap',
  strategy: 'push',
  offer: ({ coapUrl }) => (coapUrl === undefined ? { not: 'the server offers no CoAP' } : { address: coapUrl }),
  open: (context) => createCoapChannel(context),
};

/** Within this time something is said, so that routers between keep the way open, ms. */
const KEEP_OPEN_MS = 60_000;
/** How long it may take to say goodbye, ms. */
const GOODBYE_MS = 1000;

export function createCoapChannel(context: ChannelContext, timing?: Partial<CoapTiming>): Channel {
  const { gateway, listener, logger, clock, random } = context;
  const bell = createBell(clock);
  const ended = new AbortController();
  let client: CoapClient | undefined;
  let coap: CoapConnectivity | undefined;
  let isUp = false;

  const setUp = (up: boolean): void => {
    if (up === isUp) return;
    isUp = up;
    logger.info(up ? 'connected over CoAP' : 'not connected over CoAP until it is answered again');
    listener.onChange();
  };

  const handle = async (document: unknown, askedAt: number | undefined): Promise<void> => {
    if (coapTaskSchema.safeParse(document).data?.profileWanted) listener.onProfileWanted();
    const cancel = ddiCancelSchema.safeParse(document);
    if (cancel.success) return listener.onCancel(cancel.data.cancelAction.stopId);
    const deployment = ddiDeploymentSchema.safeParse(document);
    if (deployment.success) return listener.onTask(deployment.data);
    if (askedAt !== undefined) listener.onIdle(askedAt);
  };

  /** Hears until the server is lost, which throws, or the signal is aborted. Things can be said even then. */
  const session = async (signal: AbortSignal, onAnswered: () => void): Promise<void> => {
    const lost = new AbortController();
    const until = AbortSignal.any([signal, lost.signal]);
    client = await createCoapClient({
      url: context.address,
      timing,
      onLost(error) {
        lost.abort(error);
        coap = undefined;
      },
    });
    const connectivity = createCoapConnectivity({ gateway, client, onNewNonce: () => bell.ring() });
    const token = randomBytes(4);
    let known: CoapDocument | undefined;

    const notified = async (told: Promise<CoapDocument>): Promise<void> => {
      const found = await told;
      // The whole of it may have been read already.
      if (found.document === undefined || (found.etag && known?.etag?.equals(found.etag))) return;
      known = found;
      await handle(found.document, undefined);
    };
    using _watch = client.observe(token, (message) => {
      if (!message.code.startsWith('2.')) return lost.abort(new Error(message.payload.toString()));
      notified(connectivity.told(message, until)).catch((error: unknown) =>
        logger.warn('a push could not be handled', { error: errorText(error) }),
      );
    });
    try {
      for (;;) {
        const askedAt = clock.elapsed();
        const answer = await connectivity.task({ observe: 'on', token, etag: known?.etag, signal: until });
        if (answer.document !== undefined) known = answer;
        coap = connectivity;
        onAnswered();
        setUp(answer.isObserved);
        await handle(known?.document, askedAt);
        const wishMs = context.intervalMs(answer.maxAgeSeconds);
        await bell.wait({ ms: jitter(Math.min(wishMs, KEEP_OPEN_MS), 0.1, random), signal: until });
        until.throwIfAborted();
      }
    } catch (error) {
      setUp(false);
      if (!signal.aborted || lost.signal.aborted) throw error;
      // So that the server does not tell it what nobody hears.
      const goodbye = AbortSignal.timeout(GOODBYE_MS);
      await connectivity.task({ observe: 'off', token, signal: goodbye }).catch(() => undefined);
    }
  };

  const close = async (): Promise<void> => {
    const closing = client;
    coap = undefined;
    client = undefined;
    await closing?.[Symbol.asyncDispose]();
  };

  const said = <T>(say: (connectivity: CoapConnectivity) => Promise<T>): Promise<T> => {
    if (!coap) throw new LeonoreError('server.unreachable', `${context.address} does not answer`);
    return say(coap);
  };

  return {
    get connected() {
      return coap !== undefined;
    },
    async run(signal) {
      const backoff = createBackoff({ initialMs: 1000, maxMs: MAX_BACKOFF_MS, ...context.retry, random });
      while (!signal.aborted) {
        try {
          await session(signal, () => {
            context.contact.back();
            backoff.reset();
          });
        } catch (error) {
          await close();
          if (signal.aborted) break;
          const waitMs = backoff.next(retryAfterMs(error));
          const facts = { error: errorText(error), inMs: Math.round(waitMs) };
          context.contact.repeated.warn('CoAP does not work; trying again, and any other way meanwhile', facts);
          if (error instanceof LeonoreError && error.details['httpStatus'] === 401) await listener.onStranger(signal);
          await bell.wait({ ms: waitMs, signal });
        }
      }
    },
    ask(withinMs) {
      if (withinMs <= 0) return bell.ring();
      void clock.sleep(random() * withinMs, ended.signal).then(
        () => bell.ring(),
        () => undefined,
      );
    },
    report: async (actionId, report, signal) => said((to) => to.report(actionId, report, signal)),
    reportCancel: async (actionId, report, signal) => said((to) => to.reportCancel(actionId, report, signal)),
    putProfile: async (profile, signal) => said((to) => to.putProfile(profile, signal)),
    patchProfile: async (patch, signal) => said((to) => to.patchProfile(patch, signal)),
    download: async (url, range) => said((to) => to.download(url, range)),
    async [Symbol.asyncDispose]() {
      ended.abort();
      await close();
    },
  };
}
