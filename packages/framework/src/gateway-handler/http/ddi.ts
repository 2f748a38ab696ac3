/**
 * hawkBit's Direct Device Integration API, version 1: `/{tenant}/controller/v1/{controllerId}...`. Pull clients of other
 * makers (SWUpdate, rauc-hawkbit-updater, Zephyr) and LEONORE's own agent speak it. The contract is in docs/gateway-protocol.md.
 * JSON answers carry a Content-Length and an ETag made of their body; success is 200, always.
 */
import { createHash } from 'node:crypto';
import {
  ddiConfigDataSchema,
  ddiFeedbackSchema,
  formatSleep,
  gatewayIdSchema,
  LeonoreError,
  taskIdSchema,
  tenantSchema,
  type DdiPoll,
  type GatewayId,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { PackageBuilder } from '../../package-builder/mod.ts';
import type { GatewayTasks, TaskHistory } from '../contract.ts';
import { cancelDocument, deploymentDocument, packageFileName } from '../documents.ts';
import { tagListed } from './byte-range.ts';
import { authenticateGateway } from './credentials.ts';
import { sendPackage } from './package-bytes.ts';

export interface DdiOptions {
  /** The tenant that is served; one for now. */
  readonly tenant: Tenant;
  readonly pollIntervalSeconds: number;
  /** Longest that a poll with `Prefer: wait=N` is held, seconds. */
  readonly maxWaitSeconds: number;
}

interface Params {
  tenant: string;
  controllerId: string;
  actionId: string;
  moduleId: string;
  filename: string;
}

interface Caller {
  readonly tenant: Tenant;
  readonly id: GatewayId;
  /** Up to and with the controller id, as the request wrote the tenant. */
  readonly baseUrl: string;
  readonly origin: string;
}

const ROOT = '/:tenant/controller/v1/:controllerId';
const JSON_TYPES = ['application/hal+json', 'application/json'] as const;

export function registerDdi(
  app: FastifyInstance,
  deps: { tasks: GatewayTasks; gateways: GatewayManagement; builder: PackageBuilder; stopping: AbortSignal },
  options: DdiOptions,
): void {
  const { tasks, gateways, builder, stopping } = deps;
  const callers = new WeakMap<FastifyRequest, Caller>();

  app.addHook('onRequest', async (request) => {
    const params = request.params as Partial<Params>;
    const tenant = parse(tenantSchema, params.tenant, 'tenant');
    const id = parse(gatewayIdSchema, params.controllerId, 'controllerId');
    // A gateway token must not make tenants up.
    if (tenant !== options.tenant) throw new LeonoreError('auth.wrong', `there is no tenant ${tenant} here`);
    await authenticateGateway(gateways, tenant, id, request.headers.authorization);
    gateways.seen(tenant, id);
    const origin = `${request.protocol}://${request.host}`;
    callers.set(request, {
      tenant,
      id,
      origin,
      baseUrl: `${origin}/${params.tenant}/controller/v1/${encodeURIComponent(id)}`,
    });
  });

  function caller(request: FastifyRequest): Caller {
    const found = callers.get(request);
    if (!found) throw new LeonoreError('auth.missing', 'the request was not authenticated');
    return found;
  }

  /** `actionHistory=N`: 0 none, below 0 or above 100 all that there is, up to 100. */
  async function actionHistory(
    tenant: Tenant,
    id: GatewayId,
    task: TaskId,
    asked: string | undefined,
  ): Promise<TaskHistory | undefined> {
    const wanted = Number(asked ?? 0);
    if (!Number.isInteger(wanted) || wanted === 0) return undefined;
    const { status, messages } = await tasks.history(tenant, id, task);
    return { status, messages: messages.slice(0, wanted < 0 || wanted > 100 ? 100 : wanted) };
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

  app.get(ROOT, async (request, reply) => {
    const { tenant, id, baseUrl } = caller(request);
    const wait = Math.min(preferredWait(request.headers.prefer), options.maxWaitSeconds);
    const work = wait > 0 ? await workWithin(request, tenant, id, wait) : await tasks.current(tenant, id);
    const links: NonNullable<DdiPoll['_links']> = {};
    if (work.kind === 'deployment') {
      links.deploymentBase = { href: `${baseUrl}/deploymentBase/${work.task}?c=${work.revision}` };
    } else if (work.kind === 'cancel') {
      links.cancelAction = { href: `${baseUrl}/cancelAction/${work.task}` };
    } else {
      const installed = await tasks.installedTask(tenant, id);
      if (installed !== undefined) links.installedBase = { href: `${baseUrl}/installedBase/${installed}` };
    }
    if (await wantsConfigData(gateways, tenant, id)) links.configData = { href: `${baseUrl}/configData` };
    const poll: DdiPoll = {
      config: { polling: { sleep: formatSleep(options.pollIntervalSeconds) } },
      ...(Object.keys(links).length > 0 ? { _links: links } : {}),
    };
    return sendJson(request, reply, poll);
  });

  app.get<{ Querystring: { actionHistory?: string } }>(`${ROOT}/deploymentBase/:actionId`, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.deliver(tenant, id, actionId(request), 'pull');
    const history = await actionHistory(tenant, id, delivery.task, request.query.actionHistory);
    return sendJson(request, reply, deploymentDocument(origin, tenant, id, delivery, history));
  });

  app.get<{ Querystring: { actionHistory?: string } }>(`${ROOT}/installedBase/:actionId`, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.installed(tenant, id, actionId(request));
    const history = await actionHistory(tenant, id, delivery.task, request.query.actionHistory);
    return sendJson(request, reply, deploymentDocument(origin, tenant, id, delivery, history));
  });

  app.post(`${ROOT}/deploymentBase/:actionId/feedback`, async (request, reply) => {
    const { tenant, id } = caller(request);
    await tasks.feedback(tenant, id, actionId(request), parse(ddiFeedbackSchema, request.body, 'feedback'));
    return reply.code(200).send();
  });

  app.get(`${ROOT}/cancelAction/:actionId`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const task = actionId(request);
    await tasks.cancelRequested(tenant, id, task);
    return sendJson(request, reply, cancelDocument(task));
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

  app.get(`${ROOT}/softwaremodules/:moduleId/artifacts`, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const task = moduleId(request);
    const delivery = { task, expiresAt: 0, ...(await tasks.download(tenant, id, task, false)) };
    return sendJson(
      request,
      reply,
      deploymentDocument(origin, tenant, id, delivery).deployment.chunks[0]?.artifacts ?? [],
    );
  });

  app.get(`${ROOT}/softwaremodules/:moduleId/artifacts/:filename`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const task = moduleId(request);
    const { filename } = request.params as Params;
    const begins = request.method === 'GET' && !filename.endsWith('.MD5SUM');
    const { package: record, hashes } = await tasks.download(tenant, id, task, begins);
    const fileName = packageFileName({ package: record });
    if (filename === `${fileName}.MD5SUM`) {
      return reply
        .header('content-type', 'text/plain')
        .header('content-disposition', `attachment;filename=${filename}`)
        .send(`${hashes.md5}  ${fileName}`);
    }
    if (filename !== fileName)
      throw new LeonoreError('task.unknown', `task ${task} has no file ${filename}; it has ${fileName}`);
    return sendPackage(builder, request, reply, { record, etag: hashes.sha1, fileName, cacheControl: 'private' });
  });
}

/** Own agents send their whole profile; the others are asked for their attributes until they sent some. */
async function wantsConfigData(gateways: GatewayManagement, tenant: Tenant, id: GatewayId): Promise<boolean> {
  const { profile, origin } = await gateways.get(tenant, id);
  return origin !== 'enrolled' && Object.keys(profile.attributes).length === 0;
}

/** Content negotiation, Content-Length, ETag and 304 for a JSON answer. */
function sendJson(request: FastifyRequest, reply: FastifyReply, document: unknown): FastifyReply {
  const type = acceptedType(request.headers.accept);
  const body = JSON.stringify(document);
  const etag = createHash('sha1').update(body).digest('base64url');
  reply.header('etag', `"${etag}"`);
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifNoneMatch !== undefined && tagListed(ifNoneMatch, etag)) return reply.code(304).send();
  return reply.code(200).header('content-type', `${type};charset=UTF-8`).send(body);
}

function acceptedType(accept: string | undefined): string {
  if (accept === undefined || accept.trim() === '') return JSON_TYPES[0];
  const wanted = accept.split(',').map((entry) => entry.split(';')[0]?.trim().toLowerCase() ?? '');
  for (const type of wanted) {
    if (type === '*/*' || type === 'application/*') return JSON_TYPES[0];
    const match = JSON_TYPES.find((known) => known === type);
    if (match) return match;
  }
  throw new LeonoreError('request.not-acceptable', `this address answers ${JSON_TYPES.join(' or ')}, not ${accept}`);
}

function preferredWait(prefer: string | string[] | undefined): number {
  const match = /(?:^|[,;\s])wait=(\d{1,4})/.exec(String(prefer ?? ''));
  return match ? Number(match[1]) : 0;
}

function actionId(request: FastifyRequest): TaskId {
  return knownId((request.params as Params).actionId);
}

function moduleId(request: FastifyRequest): TaskId {
  return knownId((request.params as Params).moduleId);
}

function knownId(text: string): TaskId {
  const id = /^\d{1,10}$/.test(text) ? taskIdSchema.safeParse(text) : undefined;
  if (!id?.success) throw new LeonoreError('task.unknown', `there is no task ${text}`);
  return id.data;
}

function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new LeonoreError(
    'request.invalid',
    `${[what, ...(issue?.path ?? [])].map(String).join('.')}: ${issue?.message}`,
  );
}
