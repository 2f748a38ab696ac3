/** From a known identity to a gateway that hears and says: which work comes from where, and what to do about it. */
import {
  type Clock,
  type Connectivity,
  type ContactLog,
  createConnectivity,
  enrol,
  errorText,
  feedback,
  type HttpClient,
  protocolsNamed,
  type TlsMaterial,
} from '../connectivity/mod.ts';
import { type Identity, rememberAddresses } from './identity.ts';
import type { AgentOptions } from './options.ts';
import type { Worker } from './worker.ts';

export interface OnlineDeps {
  readonly identity: Identity;
  /** Where it is kept. */
  readonly identityFile: string;
  readonly worker: Pick<Worker, 'offer' | 'cancel' | 'forget'>;
  readonly client: HttpClient;
  readonly tls: TlsMaterial;
  readonly clock: Clock;
  readonly contact: ContactLog;
  readonly onProfileWanted: () => void;
}

const DEFAULT_REPAIR_POLL_MS = 300_000;

export function goOnline(options: AgentOptions, deps: OnlineDeps): Connectivity {
  const { identity, worker, client, contact, clock } = deps;
  const { logger, tuning = {} } = options;
  const { server, tenant, id, secret, ddiUrl, mqttUrl, coapUrl } = identity;

  const connectivity = createConnectivity({
    protocols: protocolsNamed(options.protocols),
    strategy: options.strategy,
    gateway: { server, tenant, id, secret },
    addresses: { ddiUrl, mqttUrl, coapUrl },
    client,
    tls: deps.tls,
    defaultPollMs: identity.pollIntervalSeconds * 1000,
    pollIntervalMs: options.pollIntervalMs,
    repairPollMs: tuning.repairPollMs ?? DEFAULT_REPAIR_POLL_MS,
    longPollSeconds: tuning.longPollSeconds,
    retry: tuning.retry,
    clock,
    random: Math.random,
    logger,
    contact,
    listener: {
      onTask: (deployment) => worker.offer(deployment),
      async onCancel(actionId) {
        const answer = await worker.cancel(actionId);
        logger.info('asked to cancel', { action: actionId, ...answer });
        const report =
          answer.outcome === 'canceled'
            ? feedback('closed', 'success', { details: ['canceled before anything was touched'] })
            : feedback('rejected', 'none', { details: [`cannot be canceled: ${answer.why}`] });
        await connectivity.reportCancel(actionId, report);
      },
      onIdle: (askedAt) => worker.forget({ before: askedAt }),
      onProfileWanted: deps.onProfileWanted,
      onAddresses: (addresses) =>
        void rememberAddresses(deps.identityFile, addresses).catch((error: unknown) =>
          logger.warn('the addresses of the server cannot be kept', { error: errorText(error) }),
        ),
      // A server that was set up anew takes the same gateway back when there is a token for it.
      async onStranger(signal) {
        if (options.token === undefined) return;
        await enrol({ server, id, secret, token: options.token, client, signal }).then(
          () => logger.info('enrolled again', { id }),
          (error: unknown) => contact.repeated.warn('cannot enrol again', { id, error: errorText(error) }),
        );
      },
    },
  });
  return connectivity;
}
