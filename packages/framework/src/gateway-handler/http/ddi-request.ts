/** What a DDI request says before its body: who asks, in which tenant, about which action. */
import {
  gatewayIdSchema,
  LeonoreError,
  type GatewayId,
  taskIdSchema,
  type TaskId,
  type Tenant,
  tenantSchema,
} from '@leonore/protocol';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Networks } from './networks.ts';

export const ROOT = '/:tenant/controller/v1/:controllerId';

interface Params {
  readonly tenant: string;
  readonly controllerId: string;
  readonly actionId: string;
  readonly moduleId: string;
  readonly filename: string;
}

export interface Caller {
  readonly tenant: Tenant;
  readonly id: GatewayId;
  /** Such as http://node:8080 */
  readonly origin: string;
  /** Up to and with the controller id, as the request wrote the tenant. */
  readonly baseUrl: string;
}

export function paramsOf(request: FastifyRequest): Params {
  return request.params as Params;
}

/** `proxies`: whose X-Forwarded-* count. @throws request.invalid */
export function callerOf(request: FastifyRequest, proxies: Networks): Caller {
  const params = paramsOf(request);
  const tenant = parse(tenantSchema, params.tenant, 'tenant');
  const id = parse(gatewayIdSchema, params.controllerId, 'controllerId');
  const origin = originOf(request, proxies);
  return { tenant, id, origin, baseUrl: `${origin}/${params.tenant}/controller/v1/${encodeURIComponent(id)}` };
}

/** How the gateway reached this node: where a proxy is believed, as its X-Forwarded-Proto, -Host and -Port say. */
function originOf({ protocol, host, headers, socket }: FastifyRequest, proxies: Networks): string {
  const origin = `${protocol}://${host}`;
  const port = String(headers['x-forwarded-port']);
  const url = URL.parse(origin);
  const saysPort = /^\d{1,5}$/.test(port) && !/:\d+$/.test(String(headers['x-forwarded-host'] ?? ''));
  if (!url || !saysPort || !proxies(socket.remoteAddress)) return origin;
  url.port = port;
  return url.origin;
}

export function actionId(request: FastifyRequest): TaskId {
  return knownId(paramsOf(request).actionId);
}

export function moduleId(request: FastifyRequest): TaskId {
  return knownId(paramsOf(request).moduleId);
}

function knownId(text: string): TaskId {
  const id = /^\d{1,10}$/.test(text) ? taskIdSchema.safeParse(text) : undefined;
  if (!id?.success) throw new LeonoreError('task.unknown', `there is no task ${text}`);
  return id.data;
}

/** @throws request.invalid */
export function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new LeonoreError(
    'request.invalid',
    `${[what, ...(issue?.path ?? [])].map(String).join('.')}: ${issue?.message}`,
  );
}
