/**
 * Push: an MQTT 3.1.1 broker inside the node. A gateway connects with its id as client id, `TENANT/ID` as user name and
 * its token as password; it may publish and subscribe only below its own id, exact match. A report is acknowledged
 * (PUBACK) after it is durable, so none that was acknowledged is lost. What the broker remembers is a hint: tasks of
 * gateways that are away wait in the database, never here.
 */
import { once, type EventEmitter } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import {
  ddiFeedbackSchema,
  gatewayIdSchema,
  gatewayTopic,
  isLeonoreError,
  LeonoreError,
  parseGatewayTopic,
  taskIdSchema,
  tenantSchema,
  type GatewayId,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import type { Logger } from 'pino';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { GatewayPush, GatewayTasks, TaskDelivery } from '../contract.ts';
import { cancelDocument, deploymentDocument } from '../documents.ts';
import { createPacketGate } from './packet-gate.ts';

export interface BrokerOptions {
  readonly host: string;
  readonly port: number;
  /** The node's name, by which the database knows who holds a connection. */
  readonly node: string;
  readonly tenants: ReadonlySet<Tenant>;
  /** What download links in pushed documents begin with, such as http://node:8080. */
  readonly baseUrl: () => string;
  /** Time from connection to a valid CONNECT, milliseconds. */
  readonly connectTimeoutMs: number;
  /** Time that a client may leave what is sent to it unread, milliseconds. */
  readonly drainTimeoutMs: number;
}

export interface Broker extends GatewayPush, AsyncDisposable {
  /** mqtt://HOST:PORT */
  readonly url: string;
  readonly connections: number;
}

const LIMITS = { connectBytes: 8 * 1024, packetBytes: 256 * 1024 };

interface Session {
  readonly tenant: Tenant;
  readonly id: GatewayId;
}

export async function createBroker(
  deps: {
    gateways: GatewayManagement;
    tasks: () => GatewayTasks;
    log: Logger;
    /** A gateway has subscribed to its tasks: what waits for it can be pushed. */
    onReady: (tenant: Tenant, id: GatewayId) => void;
  },
  options: BrokerOptions,
): Promise<Broker> {
  const { gateways, log } = deps;
  const sessions = new WeakMap<Client, Session>();
  /** Gateways that wait for tasks on this node. */
  const ready = new Map<string, Client>();
  const key = ({ tenant, id }: Session) => `${tenant}/${id}`;

  /** Each client that is authenticated, subscribed or not: the removal of its gateway ends its connection. */
  const clients = new Map<string, Client>();

  const aedes = await Aedes.createBroker({
    // Who does not read what is sent is cut off, and holds nobody up.
    drainTimeout: options.drainTimeoutMs,
    connectTimeout: options.connectTimeoutMs,
    maxClientsIdLength: 256,
    concurrency: 1000,
    authenticate(client, username, password, done) {
      authenticate(client, username, password).then(
        () => done(null, true),
        (error: unknown) => {
          if (!isLeonoreError(error)) log.error({ err: error }, 'checking an MQTT credential failed');
          const refusal = isLeonoreError(error) ? 4 : 3;
          done(Object.assign(new Error('not authenticated'), { returnCode: refusal }), false);
        },
      );
    },
    authorizeSubscribe(client, subscription, done) {
      const session = sessions.get(client);
      if (session && subscription.topic === gatewayTopic(session.tenant, session.id, 'task')) done(null, subscription);
      // A null subscription is answered with failure (0x80) in the SUBACK; the connection stays.
      else done(null, null);
    },
    authorizePublish(client, packet, done) {
      accept(client, packet).then(() => done(null), done);
    },
    // Gateways hear only what the node tells them: whatever one of them publishes stops here.
    authorizeForward: (_client, packet) => (packet.topic.endsWith('/task') ? packet : null),
  });

  async function authenticate(
    client: Client,
    username: Readonly<string | undefined>,
    password: Readonly<Buffer | undefined>,
  ): Promise<void> {
    const slash = (username ?? '').indexOf('/');
    const tenant = tenantSchema.safeParse((username ?? '').slice(0, Math.max(slash, 0))).data;
    const id = gatewayIdSchema.safeParse((username ?? '').slice(slash + 1)).data;
    if (tenant === undefined || id === undefined || client.id !== id || !options.tenants.has(tenant))
      throw new LeonoreError('auth.wrong', 'the user name is TENANT/ID and the client id is the ID');
    await gateways.authenticate(tenant, id, String(password ?? ''));
    // The broker ends the older of two connections of one client; another tenant's gateway of this id is another client.
    client.id = key({ tenant, id });
    // Whatever it asks for: nothing is kept for a client that is away.
    client.clean = true;
    sessions.set(client, { tenant, id });
    clients.set(key({ tenant, id }), client);
    // Removed since the first look, its removal did not find this client yet.
    await gateways.get(tenant, id);
  }

  gateways.onChange(({ kind, tenant, id }) => {
    if (kind === 'removed') clients.get(key({ tenant, id }))?.close();
  });

  /** Takes in what a gateway says; rejects only what must end its connection. */
  async function accept(client: Client | null, packet: PublishPacket): Promise<void> {
    const topic = parseGatewayTopic(packet.topic);
    const session = client && sessions.get(client);
    if (!session || !topic || topic.tenant !== session.tenant || topic.id !== session.id || topic.channel === 'task') {
      throw new Error(`${session ? key(session) : 'a client'} may not publish to ${packet.topic}`);
    }
    packet.retain = topic.channel === 'presence' && packet.retain;
    gateways.seen(session.tenant, session.id);
    try {
      if (topic.channel === 'report') await takeReport(session, parseJson(packet.payload));
      if (topic.channel === 'profile')
        await gateways.putProfile(session.tenant, session.id, parseJson(packet.payload), 'merge');
    } catch (error) {
      // Not acknowledged, the gateway sends it again when it is the node's fault; a bad message would only come back.
      if (!isLeonoreError(error) || error.retryable) throw error instanceof Error ? error : new Error(String(error));
      log.warn(
        { gateway: session.id, channel: topic.channel, code: error.code, reason: error.message },
        'a message of a gateway was refused',
      );
    }
  }

  async function takeReport(session: Session, body: unknown): Promise<void> {
    const feedback = ddiFeedbackSchema.safeParse(body);
    const task = taskIdSchema.safeParse(feedback.data?.id);
    if (!feedback.success || !task.success) {
      log.warn({ gateway: session.id, issue: feedback.error?.issues[0] }, 'a report of a gateway cannot be read');
      return;
    }
    await deps.tasks().feedback(session.tenant, session.id, task.data, feedback.data);
  }

  aedes.on('subscribe', (_subscriptions, client) => {
    const session = sessions.get(client);
    if (!session || ready.get(key(session)) === client) return;
    ready.set(key(session), client);
    gateways.connected(session.tenant, session.id, options.node).then(
      () => deps.onReady(session.tenant, session.id),
      (error: unknown) => log.error({ err: error, gateway: session.id }, 'noting a connection failed'),
    );
  });
  aedes.on('clientDisconnect', (client) => {
    const session = sessions.get(client);
    if (session && clients.get(key(session)) === client) clients.delete(key(session));
    // While the node closes, all that it held is cleared at once.
    if (!session || aedes.closed || ready.get(key(session)) !== client) return;
    ready.delete(key(session));
    gateways
      .disconnected(session.tenant, session.id, options.node)
      .catch((error: unknown) => log.error({ err: error, gateway: session.id }, 'noting a disconnection failed'));
  });
  for (const event of ['clientError', 'connectionError'] as const) {
    aedes.on(event, (client, error) =>
      log.debug({ gateway: client.id, reason: error.message }, 'an MQTT connection broke'),
    );
  }

  // Not in its types, but sent; unheard it would end the node.
  const failures: EventEmitter = aedes;
  failures.on('error', (error: unknown) => log.error({ err: error }, 'the MQTT broker failed at something'));

  const sockets = new Set<Socket>();
  // Keep-alive probes find those who went without a word, whatever interval they asked for.
  const server = createServer({ keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    guard(socket);
    aedes.handle(socket);
  });
  try {
    server.listen(options.port, options.host);
    await once(server, 'listening');
  } catch (error) {
    aedes.close();
    throw error;
  }
  server.on('error', (error) => log.error({ err: error }, 'accepting an MQTT connection failed'));

  function push(tenant: Tenant, gateway: GatewayId, document: object): Promise<boolean> {
    if (!ready.has(key({ tenant, id: gateway }))) return Promise.resolve(false);
    return new Promise((resolve) => {
      const packet: PublishPacket = {
        cmd: 'publish',
        topic: gatewayTopic(tenant, gateway, 'task'),
        payload: JSON.stringify(document),
        qos: 1,
        retain: false,
        dup: false,
      };
      aedes.publish(packet, (error) => resolve(error === undefined || error === null));
    });
  }

  const { port } = server.address() as AddressInfo;
  return {
    url: `mqtt://${options.host}:${port}`,
    get connections() {
      return ready.size;
    },
    isConnected: (tenant, gateway) => ready.has(key({ tenant, id: gateway })),
    pushTask: (tenant, gateway, delivery: TaskDelivery) =>
      push(tenant, gateway, deploymentDocument(options.baseUrl(), tenant, gateway, delivery)),
    pushCancel: (tenant, gateway, task: TaskId) => push(tenant, gateway, cancelDocument(task)),
    async [Symbol.asyncDispose]() {
      ready.clear();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => aedes.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Puts the gate between the socket and the broker, which takes everything through `read`. */
function guard(socket: Socket): void {
  const gate = createPacketGate(LIMITS);
  const read = socket.read.bind(socket);
  socket.read = (size?: number): unknown => {
    const chunk: unknown = read(size);
    if (chunk instanceof Uint8Array && !gate.accept(chunk)) {
      socket.destroy();
      return null;
    }
    return chunk;
  };
}

function parseJson(payload: string | Buffer): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    return undefined;
  }
}
