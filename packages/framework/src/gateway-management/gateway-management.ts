import { randomUUID } from 'node:crypto';
import {
  EMPTY_PROFILE,
  gatewayIdSchema,
  gatewayProfileSchema,
  labelsSchema,
  LeonoreError,
  mergePatch,
  ownGatewayIdSchema,
  type EnrolmentToken,
  type EnrolRequest,
  type GatewayId,
  type GatewayProfile,
  type InstalledComponent,
  type Labels,
  type Page,
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import type { EnrolmentTokenRecord, GatewayRecord, PageQuery, Repositories } from '../repositories/mod.ts';
import { createLiveness } from './liveness.ts';
import { hashToken, newToken, sameToken } from './tokens.ts';

export interface GatewayManagementOptions {
  /** A secret with which any gateway may come in by plug and play (DDI's GatewayToken); absent = not allowed. */
  readonly gatewayToken?: string | undefined;
  readonly livenessFlushIntervalMs: number;
}

/** What happened to a gateway; the provisioning handler and the event stream listen. */
export interface GatewayChange {
  readonly tenant: Tenant;
  readonly id: GatewayId;
  readonly kind: 'enrolled' | 'profile' | 'labels' | 'connected' | 'disconnected' | 'removed';
  /** For `profile`: what is installed differs from what was known. */
  readonly installedChanged?: boolean;
}

export interface GatewayManagement extends AsyncDisposable {
  onChange(listener: (change: GatewayChange) => void): void;

  createToken(tenant: Tenant, wanted: { uses: number; ttlSeconds: number; labels: Labels }): Promise<EnrolmentToken>;
  listTokens(tenant: Tenant): Promise<readonly EnrolmentToken[]>;
  /** @throws token.unknown */
  revokeToken(tenant: Tenant, id: string): Promise<void>;

  /** The same request again is answered with success. @throws token.invalid, gateway.taken, request.invalid */
  enrol(tenant: Tenant, request: EnrolRequest): Promise<GatewayRecord>;
  /** Makes a gateway known before it comes. @throws gateway.taken */
  create(
    tenant: Tenant,
    wanted: { id: string; token?: string | undefined; labels: Labels; profile?: GatewayProfile | undefined },
  ): Promise<{ gateway: GatewayRecord; token: string }>;
  /** Checks a gateway's own token. @throws auth.wrong */
  authenticate(tenant: Tenant, id: GatewayId, token: string): Promise<void>;
  /** DDI's GatewayToken: may act as any gateway; an unknown one is registered. @throws auth.wrong */
  authenticateAny(tenant: Tenant, id: GatewayId, gatewayToken: string): Promise<void>;
  isGatewayToken(token: string): boolean;

  seen(tenant: Tenant, id: GatewayId): void;
  /** @throws gateway.unknown */
  get(tenant: Tenant, id: GatewayId): Promise<GatewayRecord>;
  list(tenant: Tenant, query: PageQuery & { selector?: Selector | undefined }): Promise<Page<GatewayRecord>>;
  /** Profile whole, or as a merge patch. @throws request.invalid, gateway.unknown */
  putProfile(tenant: Tenant, id: GatewayId, body: unknown, mode: 'replace' | 'merge'): Promise<void>;
  /** Labels as a merge patch. */
  patchLabels(tenant: Tenant, id: GatewayId, patch: Readonly<Record<string, string | null>>): Promise<GatewayRecord>;
  connected(tenant: Tenant, id: GatewayId, node: string): Promise<void>;
  disconnected(tenant: Tenant, id: GatewayId, node: string): Promise<void>;
  remove(tenant: Tenant, id: GatewayId): Promise<void>;
}

export function createGatewayManagement(
  deps: { repositories: Repositories; now: () => number; onError: (error: unknown) => void },
  options: GatewayManagementOptions,
): GatewayManagement {
  const { repositories, now } = deps;
  const listeners: ((change: GatewayChange) => void)[] = [];
  const gatewayTokenHash = options.gatewayToken === undefined ? undefined : hashToken(options.gatewayToken);
  const liveness = createLiveness(deps, { flushIntervalMs: options.livenessFlushIntervalMs });

  function changed(change: GatewayChange): void {
    for (const listener of listeners) listener(change);
  }

  async function get(tenant: Tenant, id: GatewayId): Promise<GatewayRecord> {
    const record = await repositories.read.gateways.find(tenant, id);
    if (!record)
      throw new LeonoreError('gateway.unknown', `there is no gateway ${id}; leonore gateway list shows who there is`);
    return withLastSeen(tenant, record);
  }

  function withLastSeen(tenant: Tenant, record: GatewayRecord): GatewayRecord {
    const lastSeenAt = liveness.lastSeen(tenant, record.id);
    return lastSeenAt === undefined ? record : { ...record, lastSeenAt };
  }

  function isGatewayToken(token: string): boolean {
    return gatewayTokenHash !== undefined && sameToken(gatewayTokenHash, hashToken(token));
  }

  function freshRecord(id: GatewayId, origin: GatewayRecord['origin']): GatewayRecord {
    return { id, profile: EMPTY_PROFILE, labels: {}, origin, enrolledAt: now(), desired: [] };
  }

  return {
    onChange: (listener) => void listeners.push(listener),

    async createToken(tenant, wanted) {
      const token = newToken(20);
      const record: EnrolmentTokenRecord = {
        id: randomUUID().slice(0, 8),
        usesLeft: wanted.uses,
        labels: wanted.labels,
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

    async enrol(tenant, request) {
      const parsedId = ownGatewayIdSchema.safeParse(request.id);
      if (!parsedId.success) throw new LeonoreError('request.invalid', `id: ${parsedId.error.issues[0]?.message}`);
      const id = parsedId.data;
      const tokenHash = hashToken(request.secret);
      const known = await repositories.read.gateways.find(tenant, id);
      // A gateway whose answer got lost asks again with the same secret; its token may be used up by then.
      if (known) return alreadyEnrolled(known, tokenHash);
      const outcome = await repositories.write(async (tx) => {
        const token = await tx.gateways.redeemToken(tenant, hashToken(request.token), now());
        if (!token) return 'token' as const;
        const record: GatewayRecord = {
          ...freshRecord(id, 'enrolled'),
          tokenHash,
          labels: token.labels,
          profile: request.profile ?? EMPTY_PROFILE,
          lastSeenAt: now(),
        };
        if (await tx.gateways.insert(tenant, record)) return record;
        // Thrown, so that the use of the token is given back.
        throw new LeonoreError('gateway.taken', takenMessage(id));
      });
      if (outcome === 'token') {
        throw new LeonoreError(
          'token.invalid',
          'this enrolment token is unknown, used up or expired; make another with leonore gateway token create',
        );
      }
      changed({ tenant, id, kind: 'enrolled' });
      return outcome;
    },

    async create(tenant, wanted) {
      const id = gatewayIdSchema.safeParse(wanted.id);
      if (!id.success) throw new LeonoreError('request.invalid', `id: ${id.error.issues[0]?.message}`);
      const token = wanted.token ?? newToken();
      const record: GatewayRecord = {
        ...freshRecord(id.data, 'created'),
        tokenHash: hashToken(token),
        labels: wanted.labels,
        profile: wanted.profile ?? EMPTY_PROFILE,
      };
      const made = await repositories.write((tx) => tx.gateways.insert(tenant, record));
      if (!made) throw new LeonoreError('gateway.taken', takenMessage(id.data));
      changed({ tenant, id: id.data, kind: 'enrolled' });
      return { gateway: record, token };
    },

    async authenticate(tenant, id, token) {
      const record = await repositories.read.gateways.find(tenant, id);
      if (!record?.tokenHash || !sameToken(record.tokenHash, hashToken(token))) {
        throw new LeonoreError('auth.wrong', 'this token is not the one of that gateway');
      }
    },
    async authenticateAny(tenant, id, gatewayToken) {
      if (!isGatewayToken(gatewayToken)) throw new LeonoreError('auth.wrong', 'this gateway token is not valid');
      if (await repositories.read.gateways.find(tenant, id)) return;
      const made = await repositories.write((tx) => tx.gateways.insert(tenant, freshRecord(id, 'ddi')));
      if (made) changed({ tenant, id, kind: 'enrolled' });
    },
    isGatewayToken,

    seen: liveness.seen,
    get,
    async list(tenant, query) {
      const page = await repositories.read.gateways.list(tenant, query);
      return { ...page, items: page.items.map((record) => withLastSeen(tenant, record)) };
    },

    async putProfile(tenant, id, body, mode) {
      const outcome = await repositories.write(async (tx) => {
        const record = await tx.gateways.find(tenant, id);
        if (!record) throw new LeonoreError('gateway.unknown', `there is no gateway ${id}`);
        const parsed = gatewayProfileSchema.safeParse(mode === 'merge' ? mergePatch(record.profile, body) : body);
        if (!parsed.success)
          throw new LeonoreError('request.invalid', `the profile is not valid: ${firstIssue(parsed.error)}`);
        const profile: GatewayProfile = { ...parsed.data, reportedAt: now() };
        await tx.gateways.setProfile(tenant, id, profile);
        return { installedChanged: installedKey(record.profile.installed) !== installedKey(profile.installed) };
      });
      liveness.seen(tenant, id);
      changed({ tenant, id, kind: 'profile', ...outcome });
    },
    async patchLabels(tenant, id, patch) {
      const record = await repositories.write(async (tx) => {
        const found = await tx.gateways.find(tenant, id);
        if (!found)
          throw new LeonoreError(
            'gateway.unknown',
            `there is no gateway ${id}; leonore gateway list shows who there is`,
          );
        const labels = labelsSchema.safeParse(mergePatch(found.labels, patch));
        if (!labels.success)
          throw new LeonoreError('request.invalid', `the labels are not valid: ${firstIssue(labels.error)}`);
        await tx.gateways.setLabels(tenant, id, labels.data);
        return { ...found, labels: labels.data };
      });
      changed({ tenant, id, kind: 'labels' });
      return record;
    },
    async connected(tenant, id, node) {
      liveness.seen(tenant, id);
      await repositories.write((tx) => tx.gateways.setConnected(tenant, id, node));
      changed({ tenant, id, kind: 'connected' });
    },
    async disconnected(tenant, id, node) {
      await repositories.write((tx) => tx.gateways.setConnected(tenant, id, undefined, node));
      changed({ tenant, id, kind: 'disconnected' });
    },
    async remove(tenant, id) {
      const removed = await repositories.write((tx) => tx.gateways.remove(tenant, id));
      if (!removed)
        throw new LeonoreError('gateway.unknown', `there is no gateway ${id}; leonore gateway list shows who there is`);
      changed({ tenant, id, kind: 'removed' });
    },
    [Symbol.asyncDispose]: () => liveness[Symbol.asyncDispose](),
  };
}

function alreadyEnrolled(record: GatewayRecord, tokenHash: string): GatewayRecord {
  if (record.tokenHash && sameToken(record.tokenHash, tokenHash)) return record;
  throw new LeonoreError('gateway.taken', takenMessage(record.id));
}

function takenMessage(id: string): string {
  return `another gateway has the id ${id} already; choose another id, or remove that one first with leonore gateway remove ${id}`;
}

function publicToken({ tokenHash: _, ...token }: EnrolmentTokenRecord): EnrolmentToken {
  return token;
}

function firstIssue(error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] }): string {
  const issue = error.issues[0];
  return issue ? `${issue.path.map(String).join('.') || 'the body'}: ${issue.message}` : 'it is of another form';
}

/** Names and versions only: that an application starts or stops is no change of what is installed. */
function installedKey(installed: readonly InstalledComponent[] | undefined): string {
  return (installed ?? [])
    .map(({ name, version }) => `${name}@${version}`)
    .toSorted()
    .join(' ');
}
