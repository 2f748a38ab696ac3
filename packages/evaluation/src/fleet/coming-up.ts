/** How one simulated gateway gets into contact: enrolment with patience, then its MQTT session. */
import {
  createBackoff,
  createMqttConnectivity,
  type EnrolOptions,
  enrol,
  isPassing,
  type MqttConnectivity,
  type MqttConnectivityOptions,
  retryAfterMs,
  sleep,
} from '@leonore/agent';
import { type EnrolAnswer, LeonoreError } from '@leonore/protocol';

/** Before a gateway that cannot be enrolled gives up. */
const ENROLMENT_ATTEMPTS = 8;
const SESSION_TIMEOUT_MS = 60_000;
const KEEPALIVE_SECONDS = 120;

/** @throws LeonoreError when the server refuses it, or cannot be reached for a while. */
export async function enrolPatiently(
  request: Omit<EnrolOptions, 'signal'>,
  random: () => number,
  signal: AbortSignal,
): Promise<EnrolAnswer> {
  const backoff = createBackoff({ initialMs: 250, maxMs: 10_000, random });
  for (;;) {
    try {
      return await enrol({ ...request, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error) || backoff.attempts >= ENROLMENT_ATTEMPTS) throw error;
      await sleep(backoff.next(retryAfterMs(error)), signal);
    }
  }
}

/** Fulfilled with a session that stands. `adopt` gets it at once, so that it is closed whatever happens. */
export async function openSession(
  options: Omit<MqttConnectivityOptions, 'url' | 'tenant' | 'id'> & { answer: EnrolAnswer },
  adopt: (session: MqttConnectivity) => void,
  signal: AbortSignal,
): Promise<MqttConnectivity> {
  const { mqttUrl, tenant, id } = options.answer;
  if (mqttUrl === undefined) {
    throw new LeonoreError('agent.unsupported', 'this node offers no push; simulate the fleet with strategy pull');
  }
  const standing = Promise.withResolvers<void>();
  let fault = 'it did not answer';
  const session = createMqttConnectivity({
    ...options,
    url: mqttUrl,
    tenant,
    id,
    keepaliveSeconds: KEEPALIVE_SECONDS,
    onConnect: standing.resolve,
    onFault(why) {
      fault = why;
    },
  });
  adopt(session);
  const timeout = setTimeout(
    () => standing.reject(new LeonoreError('server.unreachable', `${id} gets no session at ${mqttUrl}: ${fault}`)),
    SESSION_TIMEOUT_MS,
  );
  const abort = (): void => standing.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    await standing.promise;
    return session;
  } finally {
    clearTimeout(timeout);
    signal.removeEventListener('abort', abort);
  }
}
