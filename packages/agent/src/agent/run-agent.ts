/**
 * The agent: wires the rooms of the gateway side together and runs until it is told to stop. What was installed is
 * brought up first, without the network; then it becomes known to the server, tells what it is, and takes tasks.
 * Applications keep running when it ends.
 */
import type { DdiDeployment } from '@leonore/protocol';
import {
  createHttpClient,
  createHttpConnectivity,
  createMqttConnectivity,
  enrol,
  errorText,
  feedback,
  type HttpClient,
  type HttpConnectivity,
  type MqttConnectivity,
} from '../connectivity/mod.ts';
import { createContainer } from '../container/mod.ts';
import { createProfiler, diskSpace } from '../profiler/mod.ts';
import { type AgentFolder, agentFolder, makeFolders } from './folder.ts';
import { becomeSomebody, type Identity } from './identity.ts';
import { inStartOrder } from './installed.ts';
import { createJournal } from './journal.ts';
import { lockFolder } from './lock.ts';
import type { AgentOptions } from './options.ts';
import { openOutbox } from './outbox.ts';
import { makeApplication } from './perform.ts';
import { createPoller } from './poller.ts';
import { createProfileSender } from './profile-sender.ts';
import { installedComponents, openState } from './state.ts';
import { AGENT_VERSION } from './version.ts';
import { createWorker, type Worker } from './worker.ts';

const DEFAULT_POLL_MS = 300_000;
const DEFAULT_REPAIR_POLL_MS = 300_000;
const AFTER_RECONNECT_MS = 2000;
const DEFAULT_PROFILE_CHECK_MS = 60_000;

/** Fulfilled after `signal`. @throws LeonoreError when it cannot begin: folder in use, no or a wrong token, id taken. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { logger, tuning = {} } = options;
  const folder = agentFolder(options.root, options.installRoot);
  await makeFolders(folder);
  await using _lock = await lockFolder(folder.lock);
  using client = createHttpClient({ userAgent: `leonore-agent/${AGENT_VERSION}` });

  // Callbacks of what is made first reach what is made later through these.
  const late: { profileChanged: () => void; online?: Online; closed?: string } = { profileChanged: () => undefined };
  await using container = createContainer({
    runDir: folder.run,
    logger,
    onChange: () => late.profileChanged(),
    ...(tuning.container ? { timing: tuning.container } : {}),
    ...(tuning.maxLogBytes === undefined ? {} : { maxLogBytes: tuning.maxLogBytes }),
  });
  const state = await openState(folder, logger);
  const profiler = createProfiler({
    root: folder.root,
    version: AGENT_VERSION,
    labels: options.labels ?? {},
    strategies: options.strategy === 'push' ? ['push', 'pull'] : ['pull'],
    overrides: options.profileOverrides,
    installed: () => installedComponents(state.value.installed, container),
    ...(tuning.probes ? { probes: tuning.probes } : {}),
  });
  const now = tuning.now ?? Date.now;
  const outbox = await openOutbox({
    dir: folder.outbox,
    deliver: (actionId, report, abort) => requireOnline(late.online).deliver(actionId, report, abort),
    onGone: (actionId) => worker.forget({ actionId }),
    // Once for each task: a server that does not take the report in must not be asked again and again.
    onClosed: (actionId) => {
      if (late.closed !== actionId) late.online?.pollNow();
      late.closed = actionId;
    },
    logger,
    ...(tuning.retry ? { backoff: tuning.retry } : {}),
  });
  const worker = createWorker({
    folder,
    gatewayId: options.id,
    state,
    container,
    journal: createJournal(folder.journal),
    outbox,
    connectivity: { download: (url, range) => requireOnline(late.online).http.download(url, range) },
    profile: () => profiler.profile(),
    installed: () => state.value.installed,
    freeBytes: tuning.freeBytes ?? (async () => (await diskSpace(folder.root)).free),
    logger,
    retry: tuning.retry,
    now,
    onInstalled: () => late.profileChanged(),
  });

  await worker.recover();
  await bringUp(options, folder, state.value.installed, container);

  const identity = await becomeSomebody(
    {
      file: folder.identity,
      server: options.server,
      id: options.id,
      token: options.token,
      client,
      profile: () => profiler.profile(),
      logger,
      ...(tuning.retry ? { backoff: tuning.retry } : {}),
    },
    signal,
  ).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (!identity) return;

  const online = goOnline(options, identity, createHttpConnectivity({ ...identity, client }), worker, client);
  late.online = online;
  await using _online = online;
  const sender = createProfileSender({
    profiler,
    putWhole: (profile, abort) => online.http.putProfile(profile, abort),
    sendPatch: (patch, abort) => online.sendPatch(patch, abort),
    checkMs: tuning.profileCheckMs ?? DEFAULT_PROFILE_CHECK_MS,
    logger,
    backoff: tuning.retry,
  });
  late.profileChanged = () => sender.look();

  // Reports of a stopping worker still go out, so the outbox stops last.
  const closing = new AbortController();
  const delivering = outbox.run(closing.signal);
  await Promise.all([online.poll(signal), sender.run(signal), aborted(signal)]);
  await worker.stop();
  closing.abort(new Error('the agent stops'));
  await delivering;
}

interface Online extends AsyncDisposable {
  readonly http: HttpConnectivity;
  deliver(...call: Parameters<HttpConnectivity['feedback']>): ReturnType<HttpConnectivity['feedback']>;
  sendPatch(patch: unknown, signal: AbortSignal): Promise<void>;
  pollNow(): void;
  poll(signal: AbortSignal): Promise<void>;
}

/** Pull, and push beside it where it is wished and offered. */
function goOnline(
  options: AgentOptions,
  identity: Identity,
  http: HttpConnectivity,
  worker: Worker,
  client: HttpClient,
): Online {
  const { logger, tuning = {} } = options;
  let mqtt: MqttConnectivity | undefined;
  let toldMs = DEFAULT_POLL_MS;
  let pushed = false;

  const offer = (deployment: DdiDeployment): Promise<void> => worker.offer(deployment);
  const cancel = async (actionId: string): Promise<void> => {
    const answer = await worker.cancel(actionId);
    logger.info('asked to cancel', { action: actionId, ...answer });
    const report =
      answer.outcome === 'canceled'
        ? feedback('closed', 'success', { details: ['canceled before anything was touched'] })
        : feedback('rejected', 'none', { details: [`cannot be canceled: ${answer.why}`] });
    await http.cancelFeedback(actionId, report);
  };
  const poller = createPoller({
    http,
    intervalMs: (sleepSeconds) => {
      toldMs = options.pollIntervalMs ?? (sleepSeconds === undefined ? DEFAULT_POLL_MS : sleepSeconds * 1000);
      return mqtt?.connected ? Math.max(toldMs, tuning.repairPollMs ?? DEFAULT_REPAIR_POLL_MS) : toldMs;
    },
    onTask: offer,
    onCancel: cancel,
    onIdle: (askedAt) => worker.forget({ before: askedAt }),
    // A server that was set up anew takes the same gateway back when there is a token for it.
    onStranger: async (signal) => {
      if (options.token === undefined) return;
      const { server, id, secret } = identity;
      await enrol({ server, id, secret, token: options.token, client, signal }).then(
        () => logger.info('enrolled again', { id }),
        (error: unknown) => logger.warn('cannot enrol again', { id, error: errorText(error) }),
      );
    },
    longPollSeconds: tuning.longPollSeconds,
    now: tuning.now ?? Date.now,
    logger,
    backoff: tuning.retry,
  });
  const quietly = (work: Promise<void>): void =>
    void work.catch((error: unknown) => logger.warn('a push could not be handled', { error: errorText(error) }));

  if (options.strategy === 'push' && identity.mqttUrl === undefined) {
    logger.warn('the server offers no push; this gateway pulls');
  } else if (options.strategy === 'push' && identity.mqttUrl !== undefined) {
    mqtt = createMqttConnectivity({
      url: identity.mqttUrl,
      tenant: identity.tenant,
      id: identity.id,
      secret: identity.secret,
      onTask: (deployment) => quietly(offer(deployment)),
      onCancel: (document) => quietly(cancel(document.cancelAction.stopId)),
      onConnect: () => {
        logger.info('connected for push');
        pushed = true;
        // What was pushed while it was away may be lost with the session.
        poller.soon(Math.min(toldMs, AFTER_RECONNECT_MS));
      },
      onDisconnect: () => {
        if (pushed) logger.info('not connected for push; pulling until it is again');
        if (pushed) poller.soon(toldMs);
        pushed = false;
      },
      onFault: (why) => logger.debug('push', { why }),
      ...(tuning.retry ? { reconnect: tuning.retry } : {}),
    });
  }
  return {
    http,
    async deliver(actionId, report, signal) {
      if (mqtt?.connected) {
        const sent = await mqtt.report(actionId, report).then(
          () => true,
          () => false,
        );
        if (sent) return 'accepted';
      }
      return http.feedback(actionId, report, signal);
    },
    async sendPatch(patch, signal) {
      if (mqtt?.connected) return mqtt.profile(patch);
      return http.patchProfile(patch, signal);
    },
    pollNow: () => poller.now(),
    poll: (signal) => poller.run(signal),
    async [Symbol.asyncDispose]() {
      await mqtt?.[Symbol.asyncDispose]();
    },
  };
}

/** Adopts what still runs and starts what does not; one that cannot start does not hold the others. */
async function bringUp(
  options: AgentOptions,
  folder: AgentFolder,
  installed: Awaited<ReturnType<typeof openState>>['value']['installed'],
  container: ReturnType<typeof createContainer>,
): Promise<void> {
  for (const name of inStartOrder(Object.keys(installed), installed)) {
    const entry = installed[name];
    if (!entry?.run) continue;
    try {
      await container.start(await makeApplication({ folder, gatewayId: options.id }, entry, installed));
    } catch (error) {
      options.logger.error('an application cannot be started', { name, error: errorText(error) });
    }
  }
}

function requireOnline(online: Online | undefined): Online {
  if (!online) throw new Error('not enrolled yet');
  return online;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
