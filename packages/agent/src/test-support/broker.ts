/** An MQTT broker for tests. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';

/** Of the one gateway of the tests. */
export const TOPIC = 'leonore/v1/default/gateways/gw-1';

/** A real broker that can be cut off and comes back on the same port. */
export async function startBroker() {
  const aedes = await Aedes.createBroker();
  const seen: { topic: string; payload: string; retain: boolean }[] = [];
  const logins: string[] = [];
  aedes.authenticate = (client, username, password, done) => {
    logins.push(`${client.id} ${username ?? ''} ${password?.toString() ?? ''}`);
    done(null, true);
  };
  aedes.on('publish', (packet, client) => {
    if (client) seen.push({ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain });
  });
  const sockets = new Set<Socket>();
  let port = 0;
  let server = createServer();
  const up = async (): Promise<void> => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      aedes.handle(socket);
    });
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
    url: `mqtt://127.0.0.1:${port}`,
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
