/** Enrolment and profile of LEONORE's own agent: `/gateway/v1/...`. */
import {
  enrolRequestSchema,
  gatewayIdSchema,
  isLeonoreError,
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
  options: {
    tenants: ReadonlySet<Tenant>;
    pollIntervalSeconds: number;
    mqttUrl: () => string | undefined;
    coapUrl: () => string | undefined;
  },
): void {
  const { tenants, pollIntervalSeconds } = options;

  app.post('/gateway/v1/enrol', { bodyLimit: MAX_ENROL_BYTES }, async (request): Promise<EnrolAnswer> => {
    const parsed = enrolRequestSchema.safeParse(request.body);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new LeonoreError(
        'request.invalid',
        `${issue?.path.map(String).join('.') || 'the body'}: ${issue?.message}`,
      );
    }
    const tenant = await deps.gateways.tenantOf([...tenants], parsed.data);
    const record = await deps.gateways.enrol(tenant, parsed.data);
    const mqttUrl = options.mqttUrl();
    const coapUrl = options.coapUrl();
    return {
      tenant,
      id: record.id,
      credential: { kind: 'token' },
      ddiUrl: `${request.protocol}://${request.host}/${tenant}/controller/v1/${encodeURIComponent(record.id)}`,
      ...(mqttUrl === undefined ? {} : { mqttUrl }),
      ...(coapUrl === undefined ? {} : { coapUrl }),
      pollIntervalSeconds,
    };
  });

  async function profile(request: FastifyRequest, mode: 'replace' | 'merge'): Promise<object> {
    const { tenant, id } = await caller(request);
    await deps.gateways.putProfile(tenant, id, request.body, mode);
    return {};
  }

  /** The address names no tenant: the credential does. */
  async function caller(request: FastifyRequest): Promise<{ tenant: Tenant; id: GatewayId }> {
    const id = gatewayIdSchema.safeParse((request.params as { id?: string }).id);
    if (!id.success) throw new LeonoreError('request.invalid', `id: ${id.error.issues[0]?.message}`);
    let refusal: unknown;
    for (const tenant of tenants) {
      try {
        await authenticateGateway(deps.gateways, tenant, id.data, request);
        return { tenant, id: id.data };
      } catch (error) {
        if (!isLeonoreError(error)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  app.put('/gateway/v1/:id/profile', (request) => profile(request, 'replace'));
  // As PUT: busybox's wget knows GET and POST only.
  app.post('/gateway/v1/:id/profile', (request) => profile(request, 'replace'));
  app.patch('/gateway/v1/:id/profile', (request) => profile(request, 'merge'));
}
