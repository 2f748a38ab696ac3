/**
 * The agent: wires the rooms of the gateway side together and runs until it is told to stop. What was installed is
 * brought up first, without the network; then it becomes known to the server, tells what it is, and takes tasks.
 * Applications keep running when it ends.
 */
import { readlink } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';
import {
  aborted,
  type Connectivity,
  createContactLog,
  createHttpClient,
  errorText,
  limitDownloads,
  readTls,
  systemClock,
} from '../connectivity/mod.ts';
import { createContainer, executorCapabilities } from '../container/mod.ts';
import { createFactsFolder, createProfiler, createServerClock, diskSpace, memorySpace } from '../profiler/mod.ts';
import { createAgentTrial } from './agent-trial.ts';
import { type AgentFolder, agentFolder, makeFolders } from './folder.ts';
import { goOnline, type OnlineDeps } from './going-online.ts';
import { becomeSomebody } from './identity.ts';
import { APPLICATION_FOLDERS } from './install-paths.ts';
import { type InstalledSet, inStartOrder } from './installed.ts';
import { createJournal } from './journal.ts';
import { AGENT_COMPONENT, SEED, SELF_UPDATE_CAPABILITY } from './launcher.ts';
import { lockFolder } from './lock.ts';
import type { AgentOptions } from './options.ts';
import { openOutbox } from './outbox.ts';
import { makeApplication } from './perform.ts';
import { createProfileSender } from './profile-sender.ts';
import { installedComponents, openState } from './state.ts';
import { openToldProfile, stamped } from './told-profile.ts';
import { createTimeFloor } from './time-floor.ts';
import { AGENT_MADE_AT, AGENT_VERSION } from './version.ts';
import { createWorker } from './worker.ts';

const DEFAULT_PROFILE_CHECK_MS = 60_000;
const DEFAULT_PROFILE_SLOW_MS = 900_000;

/** `restart`: the launcher is to look again which agent to run; end with RESTART_EXIT_CODE. */
export type AgentEnd = 'stopped' | 'restart';

/** Fulfilled after `signal`, or when another agent is to run. @throws LeonoreError when it cannot begin: folder in use, no or a wrong token, id taken. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<AgentEnd> {
  const { launcher, logger, tuning = {} } = options;
  const clock = systemClock;
  const tls = await readTls(options.tls ?? {});
  const folder = agentFolder(options.root, options.installRoot);
  await makeFolders(folder);
  await using _lock = await lockFolder(folder.root);
  logger.info('agent starts', { version: AGENT_VERSION, id: options.id, server: options.server });
  const serverClock = createServerClock({ server: options.server });
  using client = serverClock.heed(
    createHttpClient({ userAgent: `leonore-agent/${AGENT_VERSION}`, proxy: options.proxy, tls }),
  );

  // Callbacks of what is made first reach what is made later through these.
  const late: { profileChanged: () => void; profileWanted: () => void; online?: Connectivity; closed?: string } = {
    profileChanged: () => undefined,
    profileWanted: () => undefined,
  };
  const contact = createContactLog(logger, clock, () => outbox.hurry());
  await using container = createContainer({
    runDir: folder.run,
    logger,
    applicationUsers: options.applicationUsers,
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
    executors: async () => ({
      ...(await executorCapabilities(folder.run)),
      ...(launcher ? SELF_UPDATE_CAPABILITY : {}),
    }),
    facts: createFactsFolder({ dir: options.factsDir ?? folder.facts, logger }),
    hardwareIds: options.hardwareIds,
    clockOffset: () => serverClock.offset,
    ...(tuning.probes ? { probes: tuning.probes } : {}),
  });
  void profiler.refresh(signal);
  const told = await openToldProfile({ file: folder.profile, server: options.server, logger });
  const now = tuning.now ?? Date.now;
  const time = createTimeFloor({ state, serverTime: () => serverClock.time, now, madeAt: AGENT_MADE_AT });
  const outbox = await openOutbox({
    dir: folder.outbox,
    async deliver(actionId, report, abort) {
      const online = requireOnline(late.online);
      if (report.installed) await told.forgetInstalled();
      return online.report(actionId, report, abort);
    },
    onGone: (actionId) => worker.forget({ actionId }),
    // Once for each task: a server that does not take the report in must not be asked again and again.
    onClosed: (actionId) => {
      if (late.closed !== actionId) late.online?.ask();
      late.closed = actionId;
    },
    logger,
    ...(tuning.retry ? { backoff: tuning.retry } : {}),
  });
  const handOver = new AbortController();
  const trial = createAgentTrial(folder.agentTrial);
  const worker = createWorker({
    folder,
    trial,
    hasLauncher: launcher !== undefined,
    onHandOver: () => handOver.abort(new Error('another agent is to run')),
    gatewayId: options.id,
    state,
    container,
    journal: createJournal(folder.journal),
    outbox,
    connectivity: limitDownloads(
      { download: (url, range) => requireOnline(late.online).download(url, range) },
      { ...options.downloads, clock, onWait: (words) => worker.note(words) },
    ),
    profile: () => profiler.profile(),
    installed: () => state.value.installed,
    memory: tuning.memory ?? memorySpace,
    freeBytes: tuning.freeBytes ?? (async () => (await diskSpace(folder.root)).free),
    logger,
    repeated: contact.repeated,
    retry: tuning.retry,
    now,
    rules: { gatewayId: options.id, server: options.server, hosts: options.allowHosts },
    installPaths: {
      allowed: [...APPLICATION_FOLDERS, ...(options.allowInstallPaths ?? [])],
      root: folder.root,
      installRoot: folder.installRoot,
    },
    time,
    progressMs: tuning.progressMs,
    onInstalled: () => late.profileChanged(),
  });

  const onTrial = launcher?.trial === undefined ? undefined : await worker.handedOver(launcher.trial);
  if (launcher?.trial !== undefined && !onTrial) {
    if (agentIn(state.value.installed) !== launcher.trial) throw notHandedOver(launcher.trial);
    await trial.clear();
    return 'restart';
  }
  if (!onTrial) {
    const before = await readlink(folder.current(AGENT_COMPONENT)).catch(() => undefined);
    await worker.recover();
    const now = await readlink(folder.current(AGENT_COMPONENT)).catch(() => undefined);
    if (launcher && now !== before) return 'restart';
  }
  await bringUp(options, folder, onTrial?.installed ?? state.value.installed, container);

  const identity = await becomeSomebody(
    {
      file: folder.identity,
      server: options.server,
      id: options.id,
      token: options.token,
      client,
      profile: async () => {
        const profile = stamped(await profiler.profile());
        await told.keep(profile);
        return profile;
      },
      logger: contact.repeated,
      ...(tuning.retry ? { backoff: tuning.retry } : {}),
    },
    signal,
  ).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (!identity) return 'stopped';

  const heard = new AbortController();
  const online = goOnline(options, {
    identity,
    identityFile: folder.identity,
    worker: onTrial ? IDLE_WORKER : worker,
    client,
    tls,
    clock,
    contact: onTrial ? { ...contact, back: () => heard.abort(new Error('the server has answered')) } : contact,
    onProfileWanted: () => late.profileWanted(),
  });
  late.online = online;
  await using _online = online;
  if (onTrial) {
    await online.run(AbortSignal.any([signal, heard.signal]));
    if (!heard.signal.aborted) return 'stopped';
    await onTrial.commit();
    return 'restart';
  }
  const until = AbortSignal.any([signal, handOver.signal]);
  if (!identity.isNew) await clock.sleep(Math.random() * online.spreadMs, until).catch(() => undefined);
  const sender = createProfileSender({
    profiler,
    told,
    putWhole: (profile, abort) => online.putProfile(profile, abort),
    sendPatch: (patch, abort) => online.patchProfile(patch, abort),
    checkMs: tuning.profileCheckMs ?? DEFAULT_PROFILE_CHECK_MS,
    slowMs: tuning.profileSlowMs ?? DEFAULT_PROFILE_SLOW_MS,
    logger: contact.repeated,
    backoff: tuning.retry,
  });
  late.profileChanged = () => sender.look();
  late.profileWanted = () => sender.tellAll();

  // Reports of a stopping worker still go out, so the outbox stops last.
  const closing = new AbortController();
  const delivering = outbox.run(closing.signal);
  await Promise.all([online.run(until), sender.run(until), aborted(until)]);
  await worker.stop();
  closing.abort(new Error('the agent stops'));
  await delivering;
  return handOver.signal.aborted ? 'restart' : 'stopped';
}

/** Begins nothing before the agent that is on trial is taken. */
const IDLE_WORKER: OnlineDeps['worker'] = {
  offer: async () => undefined,
  cancel: async () => ({ outcome: 'too-late', why: 'the installation has begun already' }),
  forget: () => undefined,
};

function agentIn(installed: InstalledSet): string {
  return installed[AGENT_COMPONENT]?.folder ?? SEED;
}

function notHandedOver(version: string): LeonoreError {
  return new LeonoreError('config.invalid', `the launcher tries agent ${version}, but nobody has handed over to it`);
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
      const application = await makeApplication({ folder, gatewayId: options.id }, entry, installed);
      await container.start(application, { keepTrying: true });
    } catch (error) {
      options.logger.error('an application cannot be started', { name, error: errorText(error) });
    }
  }
}

function requireOnline(online: Connectivity | undefined): Connectivity {
  if (!online) throw new Error('not enrolled yet');
  return online;
}
