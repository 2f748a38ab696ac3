/**
 * hawkBit's Direct Device Integration API, version 1: `/{tenant}/controller/v1/{controllerId}...`. Pull clients of other
 * makers (SWUpdate, rauc-hawkbit-updater, Zephyr) and LEONORE's own agent speak it. The contract is in docs/gateway-protocol.md.
 * JSON answers carry a Content-Length and an ETag made of their body; success is 200, always, but for one 201.
 */
import {
  ddiConfigDataSchema,
  ddiFeedbackSchema,
  ddiInstalledSchema,
  formatSleep,
  LeonoreError,
  type DdiPoll,
  type GatewayId,
  type Tenant,
} from '@leonore/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { Deltas, PackageBuilder } from '../../package-builder/mod.ts';
import type { CurrentWork, GatewayTasks, TaskHistory } from '../contract.ts';
import { cancelDocument, deploymentDocument } from '../documents.ts';
import { checkAccept, sendDocument, takeBodies } from './answers.ts';
import { authenticateGateway } from './credentials.ts';
import { registerDdiArtifacts } from './ddi-artifacts.ts';
import { registerDdiConfirmations } from './ddi-confirmations.ts';
import { actionId, type Caller, callerOf, parse, ROOT } from './ddi-request.ts';
import type { Networks } from './networks.ts';

export interface DdiOptions {
  readonly tenants: ReadonlySet<Tenant>;
  readonly pollIntervalSeconds: number;
  /** Longest that a poll with `Prefer: wait=N` is held, seconds. */
  readonly maxWaitSeconds: number;
  /** Whose X-Forwarded-* headers count. */
  readonly proxies: Networks;
  /** Those of them that also end TLS and say whose certificate they have checked. */
  readonly tlsProxies: Networks;
  /** A gateway that was told when to come again came too often: `early` times by now, in this interval. */
  readonly onEarlyPoll: (tenant: Tenant, id: GatewayId, early: number) => void;
  /** Where push is offered; asked at each poll, as it may change. */
  readonly mqttUrl: () => string | undefined;
  readonly coapUrl: () => string | undefined;
}

/** hawkBit's own: no poll comes sooner, and this often while a maintenance window draws near. */
const MIN_SLEEP_SECONDS = 30;
const POLLS_BEFORE_WINDOW = 3;
const MAX_HISTORY = 100;
/** The largest body that makes sense is a report with 500 installed components. */
const MAX_BODY_BYTES = 2 ** 20;

export function registerDdi(
  app: FastifyInstance,
  deps: {
    tasks: GatewayTasks;
    gateways: GatewayManagement;
    builder: PackageBuilder;
    deltas: Pick<Deltas, 'open'>;
    stopping: AbortSignal;
  },
  options: DdiOptions,
): void {
  const { tasks, gateways, stopping } = deps;
  const callers = new WeakMap<FastifyRequest, Caller>();
  takeBodies(app);
  app.addHook('onRoute', (route) => {
    route.bodyLimit = MAX_BODY_BYTES;
  });

  app.addHook('onRequest', async (request) => {
    const found = callerOf(request, options.proxies);
    const { tenant, id } = found;
    // A gateway token must not make tenants up.
    if (!options.tenants.has(tenant)) throw new LeonoreError('auth.wrong', `there is no tenant ${tenant} here`);
    const registers = request.method !== 'POST' && REGISTERING.includes(request.routeOptions.url ?? '');
    await authenticateGateway(gateways, tenant, id, request, { proxies: options.tlsProxies, registers });
    gateways.seen(tenant, id);
    callers.set(request, found);
  });

  function caller(request: FastifyRequest): Caller {
    const found = callers.get(request);
    if (!found) throw new LeonoreError('auth.missing', 'the request was not authenticated');
    return found;
  }

  /** `actionHistory=N`: 0 none, below 0 or above 100 all that there is, up to 100. */
  async function actionHistory(request: FastifyRequest): Promise<TaskHistory | undefined> {
    const { tenant, id } = caller(request);
    const wanted = Number((request.query as { actionHistory?: string }).actionHistory ?? 0);
    if (!Number.isInteger(wanted) || wanted === 0) return undefined;
    const { status, messages } = await tasks.history(tenant, id, actionId(request));
    return { status, messages: messages.slice(0, wanted < 0 || wanted > MAX_HISTORY ? MAX_HISTORY : wanted) };
  }

  /** Looks, and where there is nothing, waits: until there is, the time is over, the gateway or the node goes. */
  async function workWithin(request: FastifyRequest, tenant: Tenant, id: GatewayId, seconds: number) {
    const { socket } = request.raw;
    const waiting = new AbortController();
    const end = () => waiting.abort();
    const timer = setTimeout(end, seconds * 1000);
    socket.once('close', end);
    stopping.addEventListener('abort', end);
    if (stopping.aborted || socket.destroyed) end();
    try {
      // Listened for before it is looked for: what comes in between is not missed.
      const woken = tasks.untilWork(tenant, id, waiting.signal);
      const work = await tasks.current(tenant, id);
      if (work.kind !== 'none') return work;
      await woken;
      return await tasks.current(tenant, id);
    } finally {
      clearTimeout(timer);
      socket.off('close', end);
      stopping.removeEventListener('abort', end);
      end();
    }
  }

  app.get(ROOT, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, baseUrl } = caller(request);
    const wait = Math.min(preferredWait(request.headers.prefer), options.maxWaitSeconds);
    const work = wait > 0 ? await workWithin(request, tenant, id, wait) : await tasks.current(tenant, id);
    const [installed, gateway] = await Promise.all([tasks.installedTask(tenant, id), gateways.get(tenant, id)]);
    if (work.kind === 'none' && wait === 0 && gateway.origin !== 'enrolled') {
      const early = gateways.polled(tenant, id, options.pollIntervalSeconds);
      if (early > 0) options.onEarlyPoll(tenant, id, early);
    }
    const links: NonNullable<DdiPoll['_links']> = { ...linkTo(work, baseUrl) };
    if (installed !== undefined) links.installedBase = { href: `${baseUrl}/installedBase/${installed}` };
    if (wantsConfigData(gateway)) links.configData = { href: `${baseUrl}/configData` };
    const [mqttUrl, coapUrl] = gateway.origin === 'enrolled' ? [options.mqttUrl(), options.coapUrl()] : [];
    const push = { ...(mqttUrl === undefined ? {} : { mqttUrl }), ...(coapUrl === undefined ? {} : { coapUrl }) };
    const poll: DdiPoll = {
      config: {
        polling: { sleep: formatSleep(sleepBefore(work, options.pollIntervalSeconds)) },
        ...(Object.keys(push).length === 0 ? {} : { push }),
      },
      ...(Object.keys(links).length > 0 ? { _links: links } : {}),
    };
    return sendDocument(request, reply, poll);
  });

  app.get(`${ROOT}/deploymentBase/:actionId`, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.deliver(tenant, id, actionId(request), 'pull');
    const history = await actionHistory(request);
    return sendDocument(request, reply, deploymentDocument(origin, tenant, id, delivery, history));
  });

  app.post(`${ROOT}/deploymentBase/:actionId/feedback`, async (request, reply) => {
    const { tenant, id } = caller(request);
    await tasks.feedback(tenant, id, actionId(request), parse(ddiFeedbackSchema, request.body, 'feedback'));
    return reply.code(200).send();
  });

  app.get(`${ROOT}/installedBase/:actionId`, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.installed(tenant, id, actionId(request));
    const history = await actionHistory(request);
    return sendDocument(request, reply, deploymentDocument(origin, tenant, id, delivery, history));
  });

  app.put(`${ROOT}/installedBase`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const { recorded } = await gateways.putInstalled(tenant, id, parse(ddiInstalledSchema, request.body, 'installed'));
    return reply.code(recorded ? 201 : 200).send();
  });

  app.get(`${ROOT}/cancelAction/:actionId`, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id } = caller(request);
    const task = actionId(request);
    await tasks.cancelRequested(tenant, id, task);
    return sendDocument(request, reply, cancelDocument(task));
  });

  app.post(`${ROOT}/cancelAction/:actionId/feedback`, async (request, reply) => {
    const { tenant, id } = caller(request);
    await tasks.cancelFeedback(tenant, id, actionId(request), parse(ddiFeedbackSchema, request.body, 'feedback'));
    return reply.code(200).send();
  });

  app.put(`${ROOT}/configData`, async (request, reply) => {
    const { tenant, id } = caller(request);
    await gateways.putAttributes(tenant, id, parse(ddiConfigDataSchema, request.body, 'configData'));
    return reply.code(200).send();
  });

  registerDdiConfirmations(app, { tasks, gateways, caller, actionHistory });
  registerDdiArtifacts(app, { ...deps, caller });
}

/** Calls with which a gateway that nobody announced comes in. */
const REGISTERING: readonly string[] = [ROOT, `${ROOT}/confirmationBase`];

/** One link at most: a gateway does one thing at a time. */
function linkTo(work: CurrentWork, baseUrl: string): DdiPoll['_links'] {
  switch (work.kind) {
    case 'none':
      return {};
    case 'cancel':
      return { cancelAction: { href: `${baseUrl}/cancelAction/${work.task}` } };
    case 'confirmation':
      return { confirmationBase: { href: `${baseUrl}/confirmationBase/${work.task}?c=${work.revision}` } };
    case 'deployment':
      return { deploymentBase: { href: `${baseUrl}/deploymentBase/${work.task}?c=${work.revision}` } };
    default:
      return work satisfies never;
  }
}

/** Seconds. Before a maintenance window opens a gateway comes more often, so that it does not miss it. */
function sleepBefore(work: CurrentWork, interval: number): number {
  if (work.kind !== 'deployment' || work.opensInMs === undefined) return interval;
  return Math.min(interval, Math.max(work.opensInMs / 1000 / POLLS_BEFORE_WINDOW, MIN_SLEEP_SECONDS));
}

/** LEONORE's own agent answers with its profile. */
function wantsConfigData(gateway: Awaited<ReturnType<GatewayManagement['get']>>): boolean {
  if (gateway.origin === 'enrolled') return gateway.profile.revision === undefined;
  return gateway.attributesKnown !== true;
}

function preferredWait(prefer: string | string[] | undefined): number {
  const match = /(?:^|[,;\s])wait=(\d{1,4})/.exec(String(prefer ?? ''));
  return match ? Number(match[1]) : 0;
}
