/** MQTT as a channel: tasks come at once, reports and changes of the profile go out. Answers to a cancel and bytes do not. */
import { errorText } from '../logger.ts';
import type { Channel, ChannelContext, Protocol } from '../channel.ts';
import { aborted, MAX_BACKOFF_MS } from '../wait.ts';
import type { createMqttConnectivity, MqttConnectivity } from './mqtt-connectivity.ts';

export const mqttProtocol: Protocol = {
  name: 'mqtt',
  strategy: 'push',
  offer({ mqttUrl }, { server }) {
    if (mqttUrl === undefined) return { not: 'the server offers no push' };
    if (!/^mqtts?:\/\//i.test(mqttUrl) || !URL.canParse(mqttUrl)) {
      return { not: `"${mqttUrl}", where the server offers push, is no mqtt:// or mqtts:// address` };
    }
    // The gateway's secret is the password.
    if (/^https:/i.test(server) && !/^mqtts:/i.test(mqttUrl)) {
      return {
        not: `the server is reached by https, but offers push without TLS at ${mqttUrl}; let the node name an mqtts:// address with --public-mqtt-url`,
      };
    }
    return { address: mqttUrl };
  },
  open: createMqttChannel,
};

function createMqttChannel(context: ChannelContext): Channel {
  const { gateway, listener, logger } = context;
  let mqtt: MqttConnectivity | undefined;
  let stood = false;
  const quietly = (work: Promise<void>): void =>
    void work.catch((error: unknown) => logger.warn('a push could not be handled', { error: errorText(error) }));

  const connect = (create: typeof createMqttConnectivity): MqttConnectivity =>
    create({
      url: context.address,
      tenant: gateway.tenant,
      id: gateway.id,
      secret: gateway.secret,
      tls: context.tls,
      onTask: (deployment) => quietly(listener.onTask(deployment)),
      onCancel: (document) => quietly(listener.onCancel(document.cancelAction.stopId)),
      onConnect() {
        logger.info('connected for push');
        stood = true;
        listener.onChange();
      },
      onDisconnect() {
        if (!stood) return;
        logger.info('not connected for push; pulling until it is again');
        stood = false;
        listener.onChange();
      },
      onFault: (why) => context.contact.repeated.warn('push does not work; pulling meanwhile', { error: why }),
      reconnect: { initialMs: 1000, maxMs: MAX_BACKOFF_MS, ...context.retry },
      random: context.random,
    });

  return {
    get connected() {
      return stood && mqtt?.connected === true;
    },
    async run(signal) {
      // The client takes memory that a gateway that only pulls can keep.
      const { createMqttConnectivity } = await import('./mqtt-connectivity.ts');
      if (!signal.aborted) mqtt ??= connect(createMqttConnectivity);
      await aborted(signal);
    },
    async report(actionId, report) {
      await mqtt?.report(actionId, report);
      return 'accepted';
    },
    patchProfile: async (patch) => mqtt?.profile(patch),
    [Symbol.asyncDispose]: async () => mqtt?.[Symbol.asyncDispose](),
  };
}
