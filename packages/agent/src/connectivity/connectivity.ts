/**
 * All ways of a gateway to its server as one: hears on every channel that server and gateway have in common, says each
 * thing on the first one that is connected and has words for it, and on the next where that fails. Opens and closes
 * channels as the server's addresses change. Pull is the ground truth; while a channel that pushes is connected, it is slower.
 * Leaves to others: what protocols do (a folder each), what is said and when it is said again.
 */
import { LeonoreError, type Strategy } from '@leonore/protocol';
import type { Channel, ChannelContext, ChannelListener, Protocol, ServerAddresses } from './channel.ts';
import { isPassing } from './http/answers.ts';
import { aborted } from './wait.ts';

export interface ConnectivityOptions extends Omit<ChannelContext, 'address' | 'listener' | 'intervalMs'> {
  /** Best first. */
  readonly protocols: readonly Protocol[];
  /** `push`: whatever there is; `pull`: no channel that pushes. */
  readonly strategy: Strategy;
  readonly addresses: ServerAddresses;
  /** `onAddresses`: all of them, when one has changed. */
  readonly listener: Omit<ChannelListener, 'onChange' | 'onAddresses'> & {
    onAddresses(addresses: ServerAddresses): void;
  };
  /** Between two polls, ms, where neither the server nor `pollIntervalMs` says how long. */
  readonly defaultPollMs: number;
  /** Wins over what the server says. */
  readonly pollIntervalMs?: number | undefined;
  /** Between two polls at least, while a channel that pushes is connected, ms. */
  readonly repairPollMs: number;
}

type Carrier = Required<Pick<Channel, 'report' | 'reportCancel' | 'putProfile' | 'patchProfile' | 'download'>>;

export interface Connectivity extends Carrier, AsyncDisposable {
  /** Asks for work. */
  ask(withinMs?: number): void;
  /** Within this time what a whole fleet has reason to do at one moment is done at a random one, ms. */
  readonly spreadMs: number;
  run(signal: AbortSignal): Promise<void>;
}

/** The server's wish counts from here on, seconds. */
const MIN_POLL_SECONDS = 1;

export function createConnectivity(options: ConnectivityOptions): Connectivity {
  const { listener, logger, gateway } = options;
  const open = new Map<Protocol, { address: string; channel: Channel; ending: AbortController }>();
  const going = new Set<Promise<void>>();
  let addresses = options.addresses;
  let running: AbortSignal | undefined;
  let pollMs = options.pollIntervalMs ?? options.defaultPollMs;
  let why: string | undefined;

  const channels = (): Channel[] => options.protocols.flatMap((protocol) => open.get(protocol)?.channel ?? []);
  const isPushed = (): boolean =>
    [...open].some(([protocol, { channel }]) => protocol.strategy === 'push' && channel.connected);
  const ask = (withinMs = 0): void => {
    for (const channel of channels()) channel.ask?.(withinMs);
  };
  const spreadMs = (): number => Math.min(MAX_SPREAD_MS, pollMs / 10);

  const heard: ChannelListener = {
    ...bound(listener),
    onAddresses(told) {
      const next = { ...addresses, ...told };
      if (JSON.stringify(next) === JSON.stringify(addresses)) return;
      logger.info('the server is reached at other addresses', { ...told });
      addresses = next;
      listener.onAddresses(next);
      refresh();
    },
    onChange() {
      // What was pushed while it was away may be lost; what is pushed from now on is.
      ask(isPushed() ? spreadMs() : pollMs);
    },
  };
  const intervalMs = (toldSeconds: number | undefined): number => {
    const toldMs = toldSeconds === undefined ? options.defaultPollMs : Math.max(MIN_POLL_SECONDS, toldSeconds) * 1000;
    pollMs = options.pollIntervalMs ?? toldMs;
    return isPushed() ? Math.max(pollMs, options.repairPollMs) : pollMs;
  };

  const go = (work: PromiseLike<void>): void => {
    const done = Promise.resolve(work).finally(() => going.delete(done));
    going.add(done);
  };
  const start = ({ channel, ending }: { channel: Channel; ending: AbortController }): void => {
    if (running) go(channel.run(AbortSignal.any([running, ending.signal])));
  };
  const close = (protocol: Protocol): void => {
    const one = open.get(protocol);
    open.delete(protocol);
    one?.ending.abort(new Error('the channel is closed'));
    if (one) go(one.channel[Symbol.asyncDispose]());
  };
  /** Opens what is offered and closes what is not any more. */
  function refresh(): void {
    for (const protocol of options.protocols) {
      if (protocol.strategy === 'push' && options.strategy === 'pull') continue;
      const offer = protocol.offer(addresses, gateway);
      const address = 'address' in offer ? offer.address : undefined;
      if ('not' in offer && offer.not !== why) logger.warn('this gateway pulls', { why: (why = offer.not) });
      if (open.get(protocol)?.address === address) continue;
      close(protocol);
      if (address === undefined) continue;
      const one = {
        address,
        channel: protocol.open({ ...options, address, listener: heard, intervalMs }),
        ending: new AbortController(),
      };
      open.set(protocol, one);
      start(one);
    }
  }

  /** On the first that is connected and can, else on the next. */
  const say = async <T>(on: (channel: Channel) => Promise<T> | undefined, signal?: AbortSignal): Promise<T> => {
    let failure: unknown = new LeonoreError('server.unreachable', 'there is no way to the server');
    for (const channel of channels()) {
      const said = channel.connected ? on(channel) : undefined;
      if (!said) continue;
      try {
        return await said;
      } catch (error) {
        signal?.throwIfAborted();
        if (!isPassing(error)) throw error;
        failure = error;
      }
    }
    throw failure;
  };

  refresh();
  return {
    ask,
    get spreadMs() {
      return spreadMs();
    },
    report: (id, report, signal) => say((channel) => channel.report?.(id, report, signal), signal),
    reportCancel: (id, report, signal) => say((channel) => channel.reportCancel?.(id, report, signal), signal),
    putProfile: (profile, signal) => say((channel) => channel.putProfile?.(profile, signal), signal),
    patchProfile: (patch, signal) => say((channel) => channel.patchProfile?.(patch, signal), signal),
    download: (url, range) => say((channel) => channel.download?.(url, range), range?.signal),
    async run(signal) {
      running = signal;
      for (const one of open.values()) start(one);
      await aborted(signal);
      await Promise.all(going);
      running = undefined;
    },
    async [Symbol.asyncDispose]() {
      for (const protocol of open.keys()) close(protocol);
      await Promise.all(going);
    },
  };
}

const MAX_SPREAD_MS = 30_000;

function bound(listener: ConnectivityOptions['listener']): Omit<ChannelListener, 'onChange' | 'onAddresses'> {
  return {
    onTask: (deployment) => listener.onTask(deployment),
    onCancel: (actionId) => listener.onCancel(actionId),
    onIdle: (askedAt) => listener.onIdle(askedAt),
    onProfileWanted: () => listener.onProfileWanted(),
    onStranger: (signal) => listener.onStranger(signal),
  };
}
