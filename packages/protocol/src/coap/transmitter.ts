/**
 * Reliable messages (RFC 7252, 4.2): one that asks for it is sent again, ever more rarely, until it is acknowledged or
 * refused. Knows no sockets: datagrams go where `send` takes them.
 */
import { type CoapContent, type CoapMessage, encodeCoap } from './message.ts';

export interface CoapPeer {
  readonly address: string;
  readonly port: number;
}

/** RFC 7252, 4.8. */
export interface CoapTiming {
  readonly ackTimeoutMs: number;
  readonly ackRandomFactor: number;
  readonly maxRetransmit: number;
}

export const COAP_TIMING: CoapTiming = { ackTimeoutMs: 2000, ackRandomFactor: 1.5, maxRetransmit: 4 };
/** After this time an id may name another message (EXCHANGE_LIFETIME), ms. */
export const COAP_EXCHANGE_MS = 247_000;

export interface CoapTransmitter extends Disposable {
  /** Of the next message, so that it is told apart from those before. */
  nextId(): number;
  /**
   * Sends until it is acknowledged: fulfilled with that message (an answer may be in it) or the reset; with undefined when
   * neither came, or the signal was aborted. @throws Error when it does not fit into a datagram
   */
  confirm(peer: CoapPeer, content: CoapContent, signal?: AbortSignal): Promise<CoapMessage | undefined>;
  /** Tells of an acknowledgement or reset. */
  settle(message: CoapMessage, peer: CoapPeer): void;
}

export function createCoapTransmitter(
  send: (datagram: Buffer, peer: CoapPeer) => void,
  options: Partial<CoapTiming> & { readonly random?: () => number } = {},
): CoapTransmitter {
  const { ackTimeoutMs, ackRandomFactor, maxRetransmit } = { ...COAP_TIMING, ...options };
  const random = options.random ?? Math.random;
  const open = new Map<string, (answer: CoapMessage | undefined) => void>();
  let lastId = Math.floor(random() * 0x10000);

  const nextId = (): number => (lastId = (lastId + 1) & 0xffff);

  return {
    nextId,
    async confirm(peer, content, signal) {
      if (signal?.aborted) return undefined;
      const id = nextId();
      const datagram = encodeCoap({ ...content, type: 'con', id });
      const key = exchangeKey(peer, id);
      const settled = Promise.withResolvers<CoapMessage | undefined>();
      let timer: NodeJS.Timeout | undefined;
      const attempt = (left: number, waitMs: number): void => {
        send(datagram, peer);
        timer = setTimeout(() => (left > 0 ? attempt(left - 1, waitMs * 2) : settled.resolve(undefined)), waitMs);
      };
      const onAbort = (): void => settled.resolve(undefined);
      open.get(key)?.(undefined);
      open.set(key, settled.resolve);
      signal?.addEventListener('abort', onAbort, { once: true });
      attempt(maxRetransmit, ackTimeoutMs * (1 + random() * (ackRandomFactor - 1)));
      try {
        return await settled.promise;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        if (open.get(key) === settled.resolve) open.delete(key);
      }
    },
    settle: (message, peer) => open.get(exchangeKey(peer, message.id))?.(message),
    [Symbol.dispose]() {
      for (const resolve of open.values()) resolve(undefined);
    },
  };
}

export function exchangeKey({ address, port }: CoapPeer, id: number): string {
  return `${address} ${port} ${id}`;
}
