/**
 * CoAP (RFC 7252) for gateways behind links where HTTP and MQTT are too heavy: tasks by asking or by observing, reports,
 * profile and package bytes, over UDP. The database is the truth here too: observers are a hint, and what was not
 * acknowledged to this node comes again.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { type CoapPeer, createCoapTransmitter, encodeCoap, type GatewayId, type Tenant } from '@leonore/protocol';
import type { Logger } from 'pino';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { Deltas, PackageBuilder } from '../../package-builder/mod.ts';
import type { GatewayPush, GatewayTasks } from '../contract.ts';
import { createNonces } from './credentials.ts';
import { createExchanges } from './exchanges.ts';
import { createGatewayResources, type GatewayResourcesOptions } from './gateway-resources.ts';
import { createObservers } from './observers.ts';
import { createPackageContents } from './package-contents.ts';
import { createRequestBodies } from './request-bodies.ts';

export interface CoapServerOptions extends GatewayResourcesOptions {
  readonly host: string;
  readonly port: number;
  /** The node's name, by which the database knows who holds a connection. */
  readonly node: string;
}

export interface CoapServer extends GatewayPush, AsyncDisposable {
  /** coap://HOST:PORT */
  readonly url: string;
  readonly observers: number;
}

/** Bodies: the largest profile fits. */
const MAX_BODY_BYTES = 512 * 1024;
const MAX_TRANSFERS = 64;
/** An observer of which nothing was heard for so long is told again, to see whether it is there, ms. */
const SILENT_MS = 600_000;
/** The kernel keeps so much of what comes while this process is busy. */
const RECEIVE_BYTES = 4 * 2 ** 20;

export async function createCoapServer(
  deps: {
    gateways: GatewayManagement;
    tasks: () => GatewayTasks;
    builder: PackageBuilder;
    deltas: Pick<Deltas, 'open'>;
    log: Logger;
    /** A gateway observes its task: what waits for it can be pushed. */
    onReady: (tenant: Tenant, id: GatewayId) => void;
  },
  options: CoapServerOptions,
): Promise<CoapServer> {
  const { gateways, log, tasks } = deps;
  const onError = (error: unknown): void => log.error({ err: error }, 'a CoAP request failed');
  const socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' });
  let isOpen = true;
  const send = (datagram: Buffer, { address, port }: CoapPeer): void => {
    // A datagram may get lost on any part of the way; this is one of them.
    if (isOpen) socket.send(datagram, port, address, (error) => error && log.debug({ err: error }, 'CoAP: not sent'));
  };
  const transmitter = createCoapTransmitter(send);

  const noteFailed = (error: unknown): void => log.error({ err: error }, 'noting a CoAP observation failed');
  const observers = createObservers(
    {
      transmitter,
      represent: (observer) => resources.represent(observer),
      // While the node closes, all that it held is cleared at once.
      onGone: ({ tenant, id }) => void (isOpen && gateways.disconnected(tenant, id, options.node).catch(noteFailed)),
      onError,
    },
    { silentMs: SILENT_MS },
  );
  const resources = createGatewayResources(
    {
      gateways,
      tasks,
      nonces: createNonces(),
      bodies: createRequestBodies({ maxBytes: MAX_BODY_BYTES, maxTransfers: MAX_TRANSFERS }),
      packages: createPackageContents(deps),
      observe(observer, told) {
        const { tenant, id } = observer;
        const { isNew, sequence } = observers.add(observer, told);
        if (isNew) gateways.connected(tenant, id, options.node).then(() => deps.onReady(tenant, id), noteFailed);
        return sequence;
      },
      unobserve: ({ tenant, id, message }) => observers.remove(tenant, id, message.token),
      onError,
    },
    options,
  );
  const exchanges = createExchanges({ send, transmitter, answer: (request) => resources.answer(request), onError });
  gateways.onChange(({ kind, tenant, id }) => {
    if (kind === 'removed') observers.remove(tenant, id);
  });

  socket.on('message', (datagram, { address, port }) => {
    try {
      exchanges.receive(datagram, { address, port });
    } catch (error) {
      onError(error);
    }
  });
  socket.bind(options.port, options.host);
  await once(socket, 'listening');
  // The kernel gives no more than its own limit.
  socket.setRecvBufferSize(RECEIVE_BYTES);
  socket.on('error', (error) => log.error({ err: error }, 'the CoAP socket failed'));

  const { port } = socket.address();
  const host = isIPv6(options.host) ? `[${options.host}]` : options.host;
  const push = async (tenant: Tenant, id: GatewayId): Promise<boolean> => {
    if (!observers.has(tenant, id)) return false;
    void observers.notify(tenant, id);
    return true;
  };
  return {
    url: `coap://${host}:${port}`,
    get observers() {
      return observers.size;
    },
    isConnected: (tenant, id) => observers.has(tenant, id),
    // What is told is what the database says by then.
    pushTask: push,
    pushCancel: push,
    async [Symbol.asyncDispose]() {
      for (const { peer, token } of observers.end()) {
        const id = transmitter.nextId();
        send(encodeCoap({ type: 'non', code: '5.03', id, token, options: [], payload: STOPPING }), peer);
      }
      isOpen = false;
      transmitter[Symbol.dispose]();
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}

const STOPPING = Buffer.from('server.stopping: this node is shutting down');
