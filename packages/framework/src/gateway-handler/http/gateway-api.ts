/** Enrolment and profile of LEONORE's own agent: `/gateway/v1/...`. */
import {
  enrolRequestSchema,
  gatewayIdSchema,
  LeonoreError,
  type EnrolAnswer,
  type GatewayId,
  type Tenant,
} from '@leonore/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import { authenticateGateway } from './credentials.ts';

/** Anybody may send one: a profile fits, no more. */
const MAX_ENROL_BYTES = 512 * 1024;

export function registerGatewayApi(
  app: FastifyInstance,
  deps: { gateways: GatewayManagement },
  options: { tenant: Tenant; pollIntervalSeconds: number; mqttUrl: () => string | undefined },
): void {
  const { tenant, pollIntervalSeconds } = options;

  app.post('/gateway/v1/enrol', { bodyLimit: MAX_ENROL_BYTES }, async (request): Promise<EnrolAnswer> => {
    const parsed = enrolRequestSchema.safeParse(request.body);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new LeonoreError(
        'request.invalid',
        `${issue?.path.map(String).join('.') || 'the body'}: ${issue?.message}`,
      );
    }
    const record = await deps.gateways.enrol(tenant, parsed.data);
    const mqttUrl = options.mqttUrl();
    return {
      tenant,
      id: record.id,
      credential: { kind: 'token' },
      ddiUrl: `${request.protocol}://${request.host}/${tenant}/controller/v1/${encodeURIComponent(record.id)}`,
      ...(mqttUrl === undefined ? {} : { mqttUrl }),
      pollIntervalSeconds,
    };
  });

  async function profile(request: FastifyRequest, mode: 'replace' | 'merge'): Promise<object> {
    const id = await caller(request);
    await deps.gateways.putProfile(tenant, id, request.body, mode);
    return {};
  }

  async function caller(request: FastifyRequest): Promise<GatewayId> {
    const id = gatewayIdSchema.safeParse((request.params as { id?: string }).id);
    if (!id.success) throw new LeonoreError('request.invalid', `id: ${id.error.issues[0]?.message}`);
    await authenticateGateway(deps.gateways, tenant, id.data, request.headers.authorization);
    return id.data;
  }

  app.put('/gateway/v1/:id/profile', (request) => profile(request, 'replace'));
  app.patch('/gateway/v1/:id/profile', (request) => profile(request, 'merge'));
}
