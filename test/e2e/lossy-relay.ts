/** A link over UDP that loses datagrams, in both directions, the same ones each time. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export interface LossyRelay extends AsyncDisposable {
  readonly port: number;
  /** Datagrams that came, lost ones included. */
  readonly came: number;
  readonly lost: number;
  /** Share of datagrams that get lost from now on, 0 to 1. */
  loss: number;
}

/** Leads to `target`, a port on this machine. */
export async function startLossyRelay(target: number, seed: number): Promise<LossyRelay> {
  const inner = new Map<string, Socket>();
  const outer = createSocket('udp4');
  const random = seeded(seed);
  const relay = { port: 0, came: 0, lost: 0, loss: 0 };
  const passes = (): boolean => {
    relay.came += 1;
    const isLost = random() < relay.loss;
    if (isLost) relay.lost += 1;
    return !isLost;
  };
  outer.on('message', (datagram, { address, port }) => {
    if (!passes()) return;
    const key = `${address} ${port}`;
    let socket = inner.get(key);
    if (!socket) {
      socket = createSocket('udp4');
      inner.set(key, socket);
      // Nobody listens there at the moment: the network is silent about it, as over a radio.
      socket.on('error', () => undefined);
      socket.on('message', (answer) => void (passes() && outer.send(answer, port, address)));
    }
    socket.send(datagram, target, '127.0.0.1', () => undefined);
  });
  outer.bind(0, '127.0.0.1');
  await once(outer, 'listening');
  relay.port = outer.address().port;
  return Object.assign(relay, {
    async [Symbol.asyncDispose]() {
      for (const socket of [outer, ...inner.values()])
        await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  });
}

/** mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
