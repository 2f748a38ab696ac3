import {
  createdGatewaySchema,
  createGatewaySchema,
  gatewayIdSchema,
  gatewaySchema,
  pageQuerySchema,
  pageSchema,
  parseSelector,
  patchGatewaySchema,
  problemSchema,
  taskSchema,
  type Gateway,
} from '@leonore/protocol';
import { z } from 'zod';
import type { GatewayRecord } from '../../repositories/mod.ts';
import type { ApiDeps, App } from '../route.ts';
import { mutablePage } from './artifacts.ts';

const tags = ['gateways'];
const params = z.object({ id: gatewayIdSchema });

export function gatewayRoutes(app: App, { gateways, provisioning, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/gateways',
    {
      schema: {
        tags,
        summary: 'List gateways',
        querystring: pageQuerySchema.extend({
          selector: z.string().optional().meta({ description: 'Such as `site=vienna,arch in (arm64,arm),!retired`' }),
        }),
        response: { 200: pageSchema(gatewaySchema), 400: problemSchema },
      },
    },
    async (request) => {
      const { selector, ...page } = request.query;
      const found = await gateways.list(tenantOf(request), {
        ...page,
        selector: selector === undefined ? undefined : parseSelector(selector),
      });
      return mutablePage({ ...found, items: found.items.map(present) });
    },
  );
  app.post(
    '/api/v1/gateways',
    {
      schema: {
        tags,
        summary: 'Make a gateway known before it comes',
        description:
          'For DDI clients of other makers: SWUpdate, rauc-hawkbit-updater, Zephyr. The answer has the token they use.',
        body: createGatewaySchema,
        response: { 201: createdGatewaySchema, 409: problemSchema },
      },
    },
    async (request, reply) => {
      const { gateway, token } = await gateways.create(tenantOf(request), request.body);
      return reply.code(201).send({ gateway: present(gateway), token });
    },
  );
  app.get(
    '/api/v1/gateways/:id',
    { schema: { tags, summary: 'A gateway', params, response: { 200: gatewaySchema, 404: problemSchema } } },
    async (request) => {
      const { id } = request.params;
      const tenant = tenantOf(request);
      const gateway = present(await gateways.get(tenant, id));
      const task = await provisioning.currentTask(tenant, id);
      const hastyPolls = gateways.hastyPolls(tenant, id);
      return {
        ...gateway,
        ...(task === undefined ? {} : { task }),
        ...(hastyPolls === undefined ? {} : { hastyPolls }),
      };
    },
  );
  app.patch(
    '/api/v1/gateways/:id',
    {
      schema: {
        tags,
        summary: 'Change labels',
        params,
        body: patchGatewaySchema,
        response: { 200: gatewaySchema, 404: problemSchema },
      },
    },
    async (request) => present(await gateways.patchLabels(tenantOf(request), request.params.id, request.body.labels)),
  );
  app.post(
    '/api/v1/gateways/:id/refresh',
    {
      schema: {
        tags,
        summary: 'Ask the gateway anew what it says of itself',
        description: 'With its next poll it is asked for its attributes (DDI), or for its whole profile.',
        params,
        response: { 200: gatewaySchema, 404: problemSchema },
      },
    },
    async (request) => present(await gateways.askAnew(tenantOf(request), request.params.id)),
  );
  app.delete(
    '/api/v1/gateways/:id',
    { schema: { tags, summary: 'Remove a gateway', params, response: { 204: z.null(), 404: problemSchema } } },
    async (request, reply) => {
      await gateways.remove(tenantOf(request), request.params.id);
      return reply.code(204).send(null);
    },
  );
  app.get(
    '/api/v1/gateways/:id/tasks',
    {
      schema: {
        tags,
        summary: "A gateway's tasks with everything that was said of them, newest first",
        params,
        querystring: pageQuerySchema,
        response: { 200: pageSchema(taskSchema), 404: problemSchema },
      },
    },
    async (request) => {
      await gateways.get(tenantOf(request), request.params.id);
      return mutablePage(
        await provisioning.listTasks(tenantOf(request), {
          ...request.query,
          gateway: request.params.id,
          transitions: true,
        }),
      );
    },
  );
}

function present(record: GatewayRecord): Gateway {
  const { id, profile, labels, connectedNode, lastSeenAt, enrolledAt, desired } = record;
  return {
    id,
    profile,
    labels,
    connected: connectedNode !== undefined,
    ...(lastSeenAt === undefined ? {} : { lastSeenAt }),
    enrolledAt,
    desired: desired.map(({ name, range }) => ({ name, range })),
  };
}
