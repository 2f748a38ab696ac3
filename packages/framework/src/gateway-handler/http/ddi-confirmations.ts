/** DDI's `confirmationBase`: what waits for a gateway's agreement, its answer, and agreeing once for all. */
import {
  ddiActivateAutoConfirmSchema,
  ddiConfirmationFeedbackSchema,
  type DdiConfirmation,
  type DdiConfirmations,
} from '@leonore/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { GatewayTasks, TaskHistory } from '../contract.ts';
import { deploymentDocument } from '../documents.ts';
import { checkAccept, sendDocument } from './answers.ts';
import { actionId, type Caller, parse, ROOT } from './ddi-request.ts';

export function registerDdiConfirmations(
  app: FastifyInstance,
  deps: {
    tasks: GatewayTasks;
    gateways: GatewayManagement;
    caller: (request: FastifyRequest) => Caller;
    actionHistory: (request: FastifyRequest) => Promise<TaskHistory | undefined>;
  },
): void {
  const { tasks, gateways, caller } = deps;
  const base = `${ROOT}/confirmationBase`;

  app.get(base, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, baseUrl } = caller(request);
    const url = `${baseUrl}/confirmationBase`;
    const [{ autoConfirm }, work] = await Promise.all([gateways.get(tenant, id), tasks.current(tenant, id)]);
    const document: DdiConfirmations = {
      autoConfirm: { active: autoConfirm !== undefined, ...autoConfirm },
      _links: {
        ...(autoConfirm
          ? { deactivateAutoConfirm: { href: `${url}/deactivateAutoConfirm` } }
          : { activateAutoConfirm: { href: `${url}/activateAutoConfirm` } }),
        ...(work.kind === 'confirmation'
          ? { confirmationBase: { href: `${url}/${work.task}?c=${work.revision}` } }
          : {}),
      },
    };
    return sendDocument(request, reply, document);
  });

  app.get(`${base}/:actionId`, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.confirmation(tenant, id, actionId(request));
    const { deployment, ...rest } = deploymentDocument(origin, tenant, id, delivery, await deps.actionHistory(request));
    const document: DdiConfirmation = { ...rest, confirmation: deployment };
    return sendDocument(request, reply, document);
  });

  app.post(`${base}/:actionId/feedback`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const feedback = parse(ddiConfirmationFeedbackSchema, request.body, 'feedback');
    await tasks.confirm(tenant, id, actionId(request), feedback);
    return reply.code(200).send();
  });

  app.post(`${base}/activateAutoConfirm`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const by = parse(ddiActivateAutoConfirmSchema, request.body ?? {}, 'autoConfirm');
    await gateways.activateAutoConfirm(tenant, id, by);
    // What waits is confirmed as soon as somebody looks.
    await tasks.current(tenant, id);
    return reply.code(200).send();
  });

  app.post(`${base}/deactivateAutoConfirm`, async (request, reply) => {
    const { tenant, id } = caller(request);
    await gateways.deactivateAutoConfirm(tenant, id);
    return reply.code(200).send();
  });
}
