import {
  createRolloutSchema,
  pageQuerySchema,
  pageSchema,
  problemSchema,
  rolloutIdSchema,
  rolloutSchema,
  taskIdSchema,
  taskSchema,
  taskStateSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { ApiDeps, App } from '../route.ts';
import { mutablePage } from './artifacts.ts';

const tags = ['rollouts'];
const params = z.object({ id: rolloutIdSchema });

const ACTIONS = {
  pause: 'Hold back every task that is not out yet',
  resume: 'Go on after a pause',
  abort: 'End it: tasks that are not out yet are canceled, gateways at work are asked to stop',
  retry: 'Try again where it failed, was refused, canceled or blocked',
} as const;

export function rolloutRoutes(app: App, { provisioning, tenantOf }: ApiDeps): void {
  const { rollouts } = provisioning;
  app.post(
    '/api/v1/rollouts',
    {
      schema: {
        tags,
        summary: 'Bring applications to gateways',
        body: createRolloutSchema,
        response: { 201: rolloutSchema, 400: problemSchema, 404: problemSchema, 409: problemSchema },
      },
    },
    async (request, reply) => reply.code(201).send(await rollouts.create(tenantOf(request), request.body)),
  );
  app.get(
    '/api/v1/rollouts',
    {
      schema: {
        tags,
        summary: 'List rollouts, newest first',
        querystring: pageQuerySchema,
        response: { 200: pageSchema(rolloutSchema) },
      },
    },
    async (request) => mutablePage(await rollouts.list(tenantOf(request), request.query)),
  );
  app.get(
    '/api/v1/rollouts/:id',
    { schema: { tags, summary: 'A rollout', params, response: { 200: rolloutSchema, 404: problemSchema } } },
    (request) => rollouts.get(tenantOf(request), request.params.id),
  );
  for (const action of ['pause', 'resume', 'abort', 'retry'] as const) {
    app.post(
      `/api/v1/rollouts/:id/${action}`,
      {
        schema: {
          tags,
          summary: ACTIONS[action],
          params,
          response: { 200: rolloutSchema, 404: problemSchema, 409: problemSchema },
        },
      },
      (request) => rollouts[action](tenantOf(request), request.params.id),
    );
  }
  app.get(
    '/api/v1/rollouts/:id/tasks',
    {
      schema: {
        tags,
        summary: "A rollout's tasks",
        params,
        querystring: pageQuerySchema.extend({ state: taskStateSchema.optional() }),
        response: { 200: pageSchema(taskSchema), 404: problemSchema },
      },
    },
    async (request) => {
      const { id } = request.params;
      const { state, ...page } = request.query;
      await rollouts.get(tenantOf(request), id);
      const states = state === undefined ? undefined : [state];
      return mutablePage(
        await provisioning.listTasks(tenantOf(request), { ...page, rollout: id, states, transitions: false }),
      );
    },
  );
  app.get(
    '/api/v1/tasks/:id',
    {
      schema: {
        tags,
        summary: 'A task with every change and message',
        params: z.object({ id: taskIdSchema }),
        response: { 200: taskSchema, 404: problemSchema },
      },
    },
    (request) => provisioning.task(tenantOf(request), request.params.id),
  );
}
