/** An MQTT broker for tests. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Aedes } from 'aedes';

/** Of the one gateway of the tests. */
export const TOPIC = 'leonore/v1/default/gateways/gw-1';

/** A real broker that can be cut off and comes back on the same port. `tls`: the certificate that it shows. */
export async function startBroker({ tls }: { tls?: { readonly cert: string; readonly key: string } } = {}) {
  const aedes = await Aedes.createBroker();
  const seen: { topic: string; payload: string; retain: boolean }[] = [];
  const logins: string[] = [];
  aedes.authenticate = (client, username, password, done) => {
    logins.push(`${client.id} ${username ?? ''} ${password?.toString() ?? ''}`);
    done(null, true);
  };
  const state = { acknowledges: true };
  aedes.authorizePublish = (_client, _packet, done) => {
    if (state.acknowledges) done(null);
  };
  aedes.on('publish', (packet, client) => {
    if (client) seen.push({ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain });
  });
  const sockets = new Set<Socket>();
  let port = 0;
  let server = createServer();
  const up = async (): Promise<void> => {
    const handle = (socket: Socket): void => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
      aedes.handle(socket);
    };
    server = tls ? createTlsServer({ ...tls }, handle) : createServer(handle);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  };
  const down = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  await up();
  const push = (payload: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const packet = { cmd: 'publish', topic: `${TOPIC}/task`, payload, qos: 1, dup: false, retain: false } as const;
      aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  return {
    url: `${tls ? 'mqtts' : 'mqtt'}://127.0.0.1:${port}`,
    /** Whether what is published is answered. */
    state,
    seen,
    logins,
    up,
    down,
    push,
    async [Symbol.asyncDispose]() {
      await down();
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}
