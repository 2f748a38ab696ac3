/** HTTP as a channel: asks for work at an interval, and carries everything. */
import type { Channel, ChannelContext, Protocol } from '../channel.ts';
import { createHttpConnectivity } from './http-connectivity.ts';
import { createPoller } from './poller.ts';

export const httpProtocol: Protocol = {
  name: 'http',
  strategy: 'pull',
  offer: ({ ddiUrl }) => ({ address: ddiUrl }),
  open: createHttpChannel,
};

function createHttpChannel(context: ChannelContext): Channel {
  const { address, client, clock, gateway } = context;
  const http = createHttpConnectivity({ ...gateway, ddiUrl: address, client, clock });
  const poller = createPoller({ ...context, http });
  return {
    connected: true,
    run: (signal) => poller.run(signal),
    ask: (withinMs) => poller.ask(withinMs),
    report: (actionId, report, signal) => http.feedback(actionId, report, signal),
    reportCancel: (actionId, report, signal) => http.cancelFeedback(actionId, report, signal),
    putProfile: (profile, signal) => http.putProfile(profile, signal),
    patchProfile: (patch, signal) => http.patchProfile(patch, signal),
    download: (url, range) => http.download(url, range),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
