/** Between a client and a server: hands every byte on, and counts what goes over the wire, as TCP carries it. */
import { connect, createServer, type AddressInfo } from 'node:net';

export interface RelayCount {
  /** From the client to the server, and back, bytes. */
  readonly up: number;
  readonly down: number;
  /** HTTP/1.1 requests that were begun. */
  readonly requests: number;
}

export interface Relay extends AsyncDisposable {
  readonly url: string;
  count(): RelayCount;
}

const REQUEST_LINE = /^[A-Z]+ \S+ HTTP\/1\.1\r$/gm;

export async function startRelay(target: string): Promise<Relay> {
  const { hostname, port } = new URL(target);
  let [up, down, requests] = [0, 0, 0];
  const server = createServer((client) => {
    const onward = connect(Number(port), hostname);
    client.on('data', (chunk) => {
      up += chunk.length;
      // A client asks one after another, so a request begins a piece.
      requests += chunk.toString('latin1').match(REQUEST_LINE)?.length ?? 0;
    });
    onward.on('data', (chunk) => void (down += chunk.length));
    client.pipe(onward).pipe(client);
    for (const [end, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      end.on('error', () => other.destroy());
      end.on('close', () => other.destroy());
    }
    open.add(client);
    client.on('close', () => open.delete(client));
  });
  const open = new Set<{ destroy(): unknown }>();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: () => ({ up, down, requests }),
    async [Symbol.asyncDispose]() {
      for (const one of open) one.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
