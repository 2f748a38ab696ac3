/** How gateways come in: enrolment tokens, a record made beforehand, DDI's plug and play. */
import { randomUUID } from 'node:crypto';
import {
  EMPTY_PROFILE,
  gatewayIdSchema,
  LeonoreError,
  ownGatewayIdSchema,
  type EnrolmentToken,
  type EnrolRequest,
  type GatewayId,
  type GatewayProfile,
  type Labels,
  type Tenant,
} from '@leonore/protocol';
import type { EnrolmentTokenRecord, GatewayRecord, Repositories } from '../repositories/mod.ts';
import { checkLabels, checkProfile } from './profile-limits.ts';
import { hashToken, newToken, sameToken } from './tokens.ts';

export interface Enrolment {
  createToken(tenant: Tenant, wanted: { uses: number; ttlSeconds: number; labels: Labels }): Promise<EnrolmentToken>;
  listTokens(tenant: Tenant): Promise<readonly EnrolmentToken[]>;
  /** @throws token.unknown */
  revokeToken(tenant: Tenant, id: string): Promise<void>;
  /** The tenant that the request's token is for, or that knows the gateway with its secret. @throws token.invalid */
  tenantOf(tenants: readonly Tenant[], request: EnrolRequest): Promise<Tenant>;
  /** The same request again is answered with success. @throws token.invalid, gateway.taken, request.invalid */
  enrol(tenant: Tenant, request: EnrolRequest): Promise<GatewayRecord>;
  /** Makes a gateway known before it comes. @throws gateway.taken */
  create(
    tenant: Tenant,
    wanted: { id: string; token?: string | undefined; labels: Labels; profile?: GatewayProfile | undefined },
  ): Promise<{ gateway: GatewayRecord; token: string }>;
  /** Registers a gateway that nobody announced, unless it is known. */
  plugAndPlay(tenant: Tenant, id: GatewayId): Promise<void>;
}

export function createEnrolment(deps: {
  repositories: Repositories;
  now: () => number;
  onEnrolled: (tenant: Tenant, id: GatewayId) => void;
}): Enrolment {
  const { repositories, now, onEnrolled } = deps;

  function freshRecord(id: GatewayId, origin: GatewayRecord['origin']): GatewayRecord {
    return { id, profile: EMPTY_PROFILE, labels: {}, origin, enrolledAt: now(), desired: [] };
  }

  return {
    async createToken(tenant, wanted) {
      const token = newToken(20);
      const record: EnrolmentTokenRecord = {
        id: randomUUID().slice(0, 8),
        usesLeft: wanted.uses,
        labels: checkLabels(wanted.labels),
        createdAt: now(),
        expiresAt: now() + wanted.ttlSeconds * 1000,
        tokenHash: hashToken(token),
      };
      await repositories.write((tx) => tx.gateways.insertToken(tenant, record));
      return { ...publicToken(record), token };
    },
    async listTokens(tenant) {
      return (await repositories.read.gateways.listTokens(tenant)).map(publicToken);
    },
    async revokeToken(tenant, id) {
      const removed = await repositories.write((tx) => tx.gateways.removeToken(tenant, id));
      if (!removed)
        throw new LeonoreError(
          'token.unknown',
          `there is no enrolment token ${id}; leonore gateway token list shows them`,
        );
    },

    async tenantOf(tenants, request) {
      const [only] = tenants;
      if (only !== undefined && tenants.length === 1) return only;
      const tokenHash = hashToken(request.token);
      for (const tenant of tenants) {
        const tokens = await repositories.read.gateways.listTokens(tenant);
        if (tokens.some((token) => sameToken(token.tokenHash, tokenHash))) return tenant;
      }
      const secretHash = hashToken(request.secret);
      for (const tenant of tenants) {
        const known = await repositories.read.gateways.find(tenant, request.id as GatewayId);
        if (known?.tokenHash && sameToken(known.tokenHash, secretHash)) return tenant;
      }
      throw tokenInvalid();
    },

    async enrol(tenant, request) {
      const parsedId = ownGatewayIdSchema.safeParse(request.id);
      if (!parsedId.success) throw new LeonoreError('request.invalid', `id: ${parsedId.error.issues[0]?.message}`);
      const id = parsedId.data;
      const fresh: GatewayRecord = {
        ...freshRecord(id, 'enrolled'),
        tokenHash: hashToken(request.secret),
        profile: checkProfile(request.profile ?? EMPTY_PROFILE),
        lastSeenAt: now(),
      };
      const { record, made } = await repositories.write(async (tx) => {
        const known = await tx.gateways.find(tenant, id);
        // A gateway whose answer got lost asks again with the same secret; its token may be used up by then.
        if (known) return { record: alreadyEnrolled(known, fresh), made: false };
        const token = await tx.gateways.redeemToken(tenant, hashToken(request.token), now());
        if (!token) throw tokenInvalid();
        const enrolled = { ...fresh, labels: token.labels };
        // Thrown, so that the use of the token is given back: another node was quicker.
        if (!(await tx.gateways.insert(tenant, enrolled))) throw taken(id);
        return { record: enrolled, made: true };
      });
      if (made) onEnrolled(tenant, id);
      return record;
    },

    async create(tenant, wanted) {
      const id = gatewayIdSchema.safeParse(wanted.id);
      if (!id.success) throw new LeonoreError('request.invalid', `id: ${id.error.issues[0]?.message}`);
      const token = wanted.token ?? newToken();
      const gateway: GatewayRecord = {
        ...freshRecord(id.data, 'created'),
        tokenHash: hashToken(token),
        labels: checkLabels(wanted.labels),
        profile: checkProfile(wanted.profile ?? EMPTY_PROFILE),
      };
      if (!(await repositories.write((tx) => tx.gateways.insert(tenant, gateway)))) throw taken(id.data);
      onEnrolled(tenant, id.data);
      return { gateway, token };
    },

    async plugAndPlay(tenant, id) {
      if (await repositories.read.gateways.find(tenant, id)) return;
      if (await repositories.write((tx) => tx.gateways.insert(tenant, freshRecord(id, 'ddi')))) onEnrolled(tenant, id);
    },
  };
}

function alreadyEnrolled(known: GatewayRecord, { tokenHash }: GatewayRecord): GatewayRecord {
  if (known.tokenHash && tokenHash && sameToken(known.tokenHash, tokenHash)) return known;
  throw taken(known.id);
}

function tokenInvalid(): LeonoreError {
  return new LeonoreError(
    'token.invalid',
    'this enrolment token is unknown, used up or expired; make another with leonore gateway token create',
  );
}

function taken(id: string): LeonoreError {
  return new LeonoreError(
    'gateway.taken',
    `another gateway has the id ${id} already; choose another id, or remove that one first with leonore gateway remove ${id}`,
  );
}

function publicToken({ tokenHash: _, ...token }: EnrolmentTokenRecord): EnrolmentToken {
  return token;
}
