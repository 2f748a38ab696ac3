/**
 * The push side of a gateway over MQTT 3.1.1: a kept session, tasks and cancels in, reports, profile and presence out.
 * It reconnects by itself with full jitter. A message may come twice, late or out of order; whoever gets it judges
 * by its sequence. Connected is a hint: pull repairs whatever is lost here.
 */
import {
  type DdiCancel,
  type DdiDeployment,
  type DdiFeedback,
  ddiCancelSchema,
  ddiDeploymentSchema,
  gatewayIdSchema,
  gatewayTopic,
  LeonoreError,
  tenantSchema,
} from '@leonore/protocol';
import { connect } from 'mqtt';
import type { TlsMaterial } from '../tls.ts';
import { MAX_BACKOFF_MS } from '../wait.ts';
import { trustFault } from '../tls.ts';

export interface MqttConnectivityOptions {
  /** mqtt://HOST:PORT or mqtts://, as enrolment said. */
  readonly url: string;
  readonly tenant: string;
  readonly id: string;
  readonly secret: string;
  readonly onTask: (deployment: DdiDeployment) => void;
  readonly onCancel: (cancel: DdiCancel) => void;
  /** The session stands and the subscription holds. */
  readonly onConnect?: () => void;
  readonly onDisconnect?: () => void;
  /** Something went wrong that needs no action: it tries again by itself. */
  readonly onFault?: (why: string) => void;
  /** For mqtts://. */
  readonly tls?: TlsMaterial | undefined;
  readonly keepaliveSeconds?: number;
  /** Ceiling of the first and of the longest delay before it connects again, ms. */
  readonly reconnect?: { readonly initialMs: number; readonly maxMs: number };
  /** How long the broker may take to acknowledge a message, ms. */
  readonly acknowledgeMs?: number;
  readonly random?: () => number;
}

export interface MqttConnectivity extends AsyncDisposable {
  readonly connected: boolean;
  /** Fulfilled when the broker has it. @throws when it is not acknowledged in time. */
  report(actionId: string, report: DdiFeedback): Promise<void>;
  /** A full profile or a merge patch. */
  profile(document: unknown): Promise<void>;
}

const ACKNOWLEDGE_TIMEOUT_MS = 15_000;

export function createMqttConnectivity(options: MqttConnectivityOptions): MqttConnectivity {
  const random = options.random ?? Math.random;
  const { initialMs, maxMs } = options.reconnect ?? { initialMs: 1000, maxMs: MAX_BACKOFF_MS };
  const tenant = tenantSchema.parse(options.tenant);
  const id = gatewayIdSchema.parse(options.id);
  const topics = {
    task: gatewayTopic(tenant, id, 'task'),
    report: gatewayTopic(tenant, id, 'report'),
    profile: gatewayTopic(tenant, id, 'profile'),
    presence: gatewayTopic(tenant, id, 'presence'),
  };
  let failures = 0;
  const nextDelay = (): number => Math.max(1, Math.round(random() * Math.min(maxMs, initialMs * 2 ** failures)));

  // In parts, since mqtt.js takes a whole address apart with url.parse, of which Node warns.
  const { protocol, hostname, port } = new URL(options.url);
  const client = connect({
    protocol: protocol === 'mqtts:' ? 'mqtts' : 'mqtt',
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(port === '' ? {} : { port: Number(port) }),
    protocolVersion: 4,
    clientId: options.id,
    username: `${tenant}/${options.id}`,
    password: options.secret,
    clean: false,
    resubscribe: false,
    queueQoSZero: false,
    keepalive: options.keepaliveSeconds ?? 60,
    connectTimeout: 30_000,
    reconnectPeriod: nextDelay(),
    // A broker that refuses now (its database is away, say) may not do so later.
    reconnectOnConnackError: true,
    ...options.tls,
    will: { topic: topics.presence, payload: Buffer.from('{"online":false}'), qos: 1, retain: true },
  });

  client.on('connect', () => {
    void (async () => {
      try {
        // Always, though the session may still have it: a session without its subscription would be silent for ever.
        const granted = await client.subscribeAsync(topics.task, { qos: 1 });
        if (granted.some((grant) => grant.qos === 128)) throw new Error('the broker refused the subscription');
        // At most once: a message that waits for its acknowledgement would be kept over each session that breaks at once.
        await client.publishAsync(topics.presence, '{"online":true}', { qos: 0, retain: true });
        failures = 0;
        options.onConnect?.();
      } catch (error) {
        options.onFault?.(`MQTT session not usable: ${String(error)}`);
        client.stream.destroy();
      }
    })();
  });
  client.on('close', () => {
    // mqtt.js has read the period for this time already; this one is for the next.
    failures = Math.min(failures + 1, 20);
    client.options.reconnectPeriod = nextDelay();
    options.onDisconnect?.();
  });
  client.on('error', (error) => options.onFault?.(trustFault(error, options.url) ?? error.message));
  client.on('message', (topic, payload) => {
    if (topic !== topics.task) return;
    const message = parseJson(payload);
    const cancel = ddiCancelSchema.safeParse(message);
    if (cancel.success) return options.onCancel(cancel.data);
    const deployment = ddiDeploymentSchema.safeParse(message);
    if (deployment.success) return options.onTask(deployment.data);
    options.onFault?.('a message on the task topic is neither a task nor a cancel; ignored');
  });

  const publish = async (topic: string, document: unknown): Promise<void> => {
    if (!client.connected) throw new LeonoreError('server.unreachable', 'the MQTT session is not connected');
    const sent = client.publishAsync(topic, JSON.stringify(document), { qos: 1 });
    const message = client.getLastMessageId();
    // It goes another way then, and is not to come a second time.
    const timer = setTimeout(
      () => client.removeOutgoingMessage(message),
      options.acknowledgeMs ?? ACKNOWLEDGE_TIMEOUT_MS,
    );
    try {
      await sent;
    } catch (error) {
      throw new LeonoreError('server.unreachable', 'the broker did not acknowledge in time', { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    get connected() {
      return client.connected;
    },
    report: (actionId, report) => publish(topics.report, { ...report, id: actionId }),
    profile: (document) => publish(topics.profile, document),
    async [Symbol.asyncDispose]() {
      if (client.connected) {
        await Promise.race([
          client.publishAsync(topics.presence, '{"online":false}', { qos: 1, retain: true }).catch(() => undefined),
          new Promise((resolve) => setTimeout(resolve, 1000).unref()),
        ]);
      }
      await client.endAsync(true).catch(() => undefined);
    },
  };
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}
