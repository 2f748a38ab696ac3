/**
 * Questions over CoAP (RFC 7252, 5.2) and what follows to those that observe (RFC 7641), on one UDP socket that hears this
 * server only. One question is under way at a time (NSTART). Leaves to others: what is asked, credentials, blocks.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  COAP_METHODS,
  COAP_PORT,
  type CoapMessage,
  type CoapMethod,
  type CoapOption,
  coapOption,
  type CoapPeer,
  type CoapTiming,
  createCoapTransmitter,
  decodeCoap,
  EMPTY,
  emptyCoap,
  encodeCoap,
  LeonoreError,
  uintOf,
} from '@leonore/protocol';

export interface CoapQuestion {
  readonly method: CoapMethod;
  readonly path: readonly string[];
  readonly query?: readonly string[];
  readonly options?: readonly CoapOption[];
  readonly payload?: Buffer;
  /** Instead of one of its own. */
  readonly token?: Buffer;
}

export interface CoapClient extends AsyncDisposable {
  /** @throws LeonoreError `server.unreachable` when there is no answer; the signal's reason */
  ask(question: CoapQuestion, signal?: AbortSignal): Promise<CoapMessage>;
  /** What comes with this token beside the answers to questions. */
  observe(token: Buffer, onNotification: (message: CoapMessage) => void): Disposable;
}

export interface CoapClientOptions {
  /** coap://HOST[:PORT] */
  readonly url: string;
  readonly timing?: Partial<CoapTiming> | undefined;
  /** Nothing comes back from there any more. */
  readonly onLost: (error: LeonoreError) => void;
}

/** An answer that was announced comes within, ms. */
const ANNOUNCED_MS = 60_000;
const NOTHING = Buffer.alloc(0);

/** @throws LeonoreError `server.unreachable` when the address has no host, or a name that cannot be resolved */
export async function createCoapClient(options: CoapClientOptions): Promise<CoapClient> {
  const { socket, peer } = await connected(options.url);
  let isOpen = true;
  const send = (datagram: Buffer): void => {
    if (isOpen) socket.send(datagram, () => undefined);
  };
  const transmitter = createCoapTransmitter(send, options.timing);
  const waiting = new Map<string, (message: CoapMessage) => void>();
  const observed = new Map<string, { readonly tell: (message: CoapMessage) => void; last?: Freshness }>();
  const closing = new AbortController();
  let turn: Promise<unknown> = Promise.resolve();

  const lost = (why: string): LeonoreError => {
    const error = new LeonoreError('server.unreachable', `${options.url} ${why}`);
    if (isOpen) options.onLost(error);
    return error;
  };

  const exchange = async (question: CoapQuestion, signal?: AbortSignal): Promise<CoapMessage> => {
    const { method, path, query = [], options: more = [], payload = NOTHING, token = randomBytes(4) } = question;
    const named = [
      ...path.map((part) => coapOption('Uri-Path', part)),
      ...query.map((part) => coapOption('Uri-Query', part)),
    ];
    const content = { code: COAP_METHODS[method], token, options: [...named, ...more], payload };
    const answered = Promise.withResolvers<CoapMessage>();
    const over = new AbortController();
    const key = token.toString('hex');
    waiting.set(key, (message) => {
      answered.resolve(message);
      // Where its acknowledgement got lost, nothing is sent again.
      over.abort();
    });
    try {
      signal?.throwIfAborted();
      const said = await transmitter.confirm(peer, content, anyOf(over.signal, signal));
      signal?.throwIfAborted();
      if (said?.type === 'rst') throw lost('refuses to talk');
      if (said && said.code !== EMPTY && said.token.equals(token)) return said;
      if (!said && !over.signal.aborted) throw lost('does not answer');
      const waited = delay(ANNOUNCED_MS, undefined, { signal: anyOf(over.signal, closing.signal, signal) });
      const answer = await Promise.race([answered.promise, waited.catch(() => answerOr(answered.promise))]);
      signal?.throwIfAborted();
      if (!answer) throw lost('does not answer');
      return answer;
    } finally {
      over.abort();
      waiting.delete(key);
    }
  };

  const onAnswer = (message: CoapMessage): void => {
    const key = message.token.toString('hex');
    const watch = observed.get(key);
    const waiter = waiting.get(key);
    const acknowledge = (type: 'ack' | 'rst'): void => {
      if (message.type === 'con') send(encodeCoap(emptyCoap(type, message.id)));
    };
    if (!watch && !waiter) return acknowledge('rst');
    acknowledge('ack');
    if (waiter) waiter(message);
    else if (watch && isNewer(message, watch.last)) {
      watch.last = { sequence: uintOf(message, 'Observe') ?? 0, at: performance.now() };
      watch.tell(message);
    }
  };

  socket.on('message', (datagram) => {
    const message = decodeCoap(datagram);
    if (!message) return;
    if (message.type === 'ack' || message.type === 'rst') transmitter.settle(message, peer);
    else if (message.code !== EMPTY && !message.code.startsWith('0.')) onAnswer(message);
    else if (message.type === 'con') send(encodeCoap(emptyCoap('rst', message.id)));
  });
  // Nobody listens there: told at once, where the network says so.
  socket.on('error', () => {
    lost('is not there');
    transmitter[Symbol.dispose]();
  });

  return {
    ask(question, signal) {
      const answer = turn.then(() => exchange(question, signal));
      turn = answer.catch(() => undefined);
      return answer;
    },
    observe(token, tell) {
      const key = token.toString('hex');
      observed.set(key, { tell });
      return { [Symbol.dispose]: () => void observed.delete(key) };
    },
    async [Symbol.asyncDispose]() {
      isOpen = false;
      closing.abort();
      transmitter[Symbol.dispose]();
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

function anyOf(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

/** What has come by now. */
function answerOr<T>(promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([promise, Promise.resolve(undefined)]);
}

interface Freshness {
  readonly sequence: number;
  readonly at: number;
}

/** RFC 7641, 3.4. An error has no place in the order and ends it. */
function isNewer(message: CoapMessage, last: Freshness | undefined): boolean {
  const sequence = uintOf(message, 'Observe');
  if (sequence === undefined || !last) return true;
  const ahead = (sequence - last.sequence + 0x1000000) & 0xffffff;
  return (ahead > 0 && ahead < 0x800000) || performance.now() > last.at + 128_000;
}

async function connected(address: string): Promise<{ socket: Socket; peer: CoapPeer }> {
  const url = URL.parse(address);
  const host = url?.hostname.replaceAll(/[[\]]/g, '') ?? '';
  const port = url?.port ? Number(url.port) : COAP_PORT;
  let socket: Socket | undefined;
  try {
    if (url?.protocol !== 'coap:' || host === '') throw new Error('it is no coap:// address');
    const { address: found, family } = await lookup(host);
    socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const ready = once(socket, 'connect');
    socket.connect(port, found);
    await ready;
    return { socket, peer: { address: found, port } };
  } catch (error) {
    socket?.close();
    throw new LeonoreError('server.unreachable', `cannot reach ${address}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
