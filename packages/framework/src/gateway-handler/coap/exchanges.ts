/**
 * Between datagrams and answers (RFC 7252, 4 and 5.2): tells requests from acknowledgements, acts once on a request that
 * comes twice, and answers in the acknowledgement, or apart from it where that takes longer. Whatever arrives, nothing is
 * thrown, and what is remembered is bounded.
 */
import {
  COAP_EXCHANGE_MS,
  COAP_METHODS,
  type CoapMessage,
  type CoapMethod,
  coapOption,
  type CoapOption,
  type CoapPeer,
  type CoapTransmitter,
  decodeCoap,
  EMPTY,
  emptyCoap,
  encodeCoap,
  exchangeKey,
  resetOf,
  textsOf,
} from '@leonore/protocol';

export interface CoapRequest {
  readonly peer: CoapPeer;
  readonly method: CoapMethod;
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly message: CoapMessage;
}

export interface CoapAnswer {
  readonly code: string;
  readonly options?: readonly CoapOption[];
  readonly payload?: Buffer;
}

export interface Exchanges {
  receive(datagram: Buffer, peer: CoapPeer): void;
}

/** A client that hears nothing for 2 seconds asks again. */
const PIGGYBACK_MS = 1000;
const MAX_UNDER_WAY = 1000;
/** A datagram each. */
const MAX_REMEMBERED = 4000;
const NOTHING = Buffer.alloc(0);

export function createExchanges(deps: {
  readonly send: (datagram: Buffer, peer: CoapPeer) => void;
  readonly transmitter: CoapTransmitter;
  /** Never rejects. */
  readonly answer: (request: CoapRequest) => Promise<CoapAnswer>;
  readonly onError: (error: unknown) => void;
  readonly elapsed?: () => number;
}): Exchanges {
  const { send, transmitter, elapsed = () => performance.now() } = deps;
  const underWay = new Set<string>();
  /** What requests that change something were answered, oldest first. */
  const remembered = new Map<string, { readonly datagram: Buffer; readonly until: number }>();

  function remember(key: string, datagram: Buffer): void {
    remembered.set(key, { datagram, until: elapsed() + COAP_EXCHANGE_MS });
    for (const [oldest, { until }] of remembered) {
      if (remembered.size <= MAX_REMEMBERED && until > elapsed()) break;
      remembered.delete(oldest);
    }
  }

  async function serve(message: CoapMessage, peer: CoapPeer, method: CoapMethod, key: string): Promise<void> {
    let isAcknowledged = false;
    const acknowledge = (): void => {
      isAcknowledged = true;
      send(encodeCoap(emptyCoap('ack', message.id)), peer);
    };
    const timer = message.type === 'con' ? setTimeout(acknowledge, PIGGYBACK_MS) : undefined;
    const request = { peer, method, path: textsOf(message, 'Uri-Path'), query: textsOf(message, 'Uri-Query'), message };
    const { code, options = [], payload = NOTHING } = await deps.answer(request).finally(() => clearTimeout(timer));
    const content = { code, token: message.token, options, payload };
    if (isAcknowledged) {
      if (method !== 'GET') remember(key, encodeCoap(emptyCoap('ack', message.id)));
      await transmitter.confirm(peer, content);
      return;
    }
    const isConfirmable = message.type === 'con';
    const datagram = encodeCoap({
      ...content,
      type: isConfirmable ? 'ack' : 'non',
      id: isConfirmable ? message.id : transmitter.nextId(),
    });
    if (method !== 'GET') remember(key, datagram);
    send(datagram, peer);
  }

  function receiveRequest(message: CoapMessage, peer: CoapPeer): void {
    const key = `${exchangeKey(peer, message.id)} ${message.token.toString('hex')}`;
    const known = remembered.get(key);
    if (known && known.until > elapsed()) return send(known.datagram, peer);
    if (underWay.has(key)) return;
    const refuse = (code: string, ...options: CoapOption[]): void => {
      const type = message.type === 'con' ? 'ack' : 'non';
      send(encodeCoap({ type, code, id: message.id, token: message.token, options, payload: NOTHING }), peer);
    };
    const method = METHODS.get(message.code);
    if (method === undefined) return refuse('4.05');
    if (message.options.some(({ name }) => name.startsWith('Proxy-'))) return refuse('5.05');
    if (message.options.some(isUnknownAndCritical)) return refuse('4.02');
    if (underWay.size >= MAX_UNDER_WAY) return refuse('5.03', coapOption('Max-Age', 5));
    underWay.add(key);
    serve(message, peer, method, key)
      .catch(deps.onError)
      .finally(() => underWay.delete(key));
  }

  return {
    receive(datagram, peer) {
      const message = decodeCoap(datagram);
      if (!message) {
        const reset = resetOf(datagram);
        if (reset) send(reset, peer);
      } else if (message.type === 'ack' || message.type === 'rst') transmitter.settle(message, peer);
      else if (message.code.startsWith('0.') && message.code !== EMPTY) receiveRequest(message, peer);
      // A ping (RFC 7252, 4.3), or the answer to a question that was never asked.
      else if (message.type === 'con') send(encodeCoap(emptyCoap('rst', message.id)), peer);
    },
  };
}

const METHODS = new Map(Object.entries(COAP_METHODS).map(([name, code]) => [code as string, name as CoapMethod]));

/** Critical options that are understood here; others must be refused (RFC 7252, 5.4.1). */
const CRITICAL: readonly string[] = ['Uri-Host', 'Uri-Port', 'Uri-Path', 'Uri-Query', 'Accept', 'Block1', 'Block2'];
/** Critical options of other documents that the reader of packets has names for; what it has none for is a number. */
const OTHERS_CRITICAL: readonly string[] = ['If-Match', 'If-None-Match', 'OSCORE', 'Q-Block1', 'Q-Block2'];

function isUnknownAndCritical({ name }: CoapOption): boolean {
  if (CRITICAL.includes(name)) return false;
  return OTHERS_CRITICAL.includes(name) || Number(name) % 2 === 1;
}
