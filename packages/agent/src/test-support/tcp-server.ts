/** Servers below HTTP, for what no decent one does: stall, dribble, count bytes, pass them on. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TcpServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

export async function startTcpServer(handle: (socket: Socket, index: number) => void): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    handle(socket, connections++);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Passes everything on to `port` and counts it. */
export async function startByteCounter(
  port: number,
): Promise<TcpServer & { readonly bytes: { up: number; down: number } }> {
  const bytes = { up: 0, down: 0 };
  const server = await startTcpServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.on('data', (chunk) => void (bytes.up += chunk.length));
    onward.on('data', (chunk) => void (bytes.down += chunk.length));
    socket.pipe(onward).pipe(socket);
  });
  return Object.defineProperties(
    { bytes } as TcpServer & { bytes: typeof bytes },
    Object.getOwnPropertyDescriptors(server),
  );
}
