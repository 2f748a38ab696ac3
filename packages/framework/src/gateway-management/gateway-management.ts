import {
  gatewayProfileSchema,
  labelsSchema,
  LeonoreError,
  mergePatch,
  type DdiConfigData,
  type GatewayId,
  type GatewayProfile,
  type InstalledComponent,
  type Page,
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import type { GatewayRecord, PageQuery, Repositories } from '../repositories/mod.ts';
import { changedAttributes } from './attributes.ts';
import { createEnrolment, type Enrolment } from './enrolment.ts';
import { createLiveness } from './liveness.ts';
import { checkLabels, checkProfile } from './profile-limits.ts';
import { hashToken, sameToken } from './tokens.ts';

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

export interface GatewayManagement extends Omit<Enrolment, 'plugAndPlay'>, AsyncDisposable {
  onChange(listener: (change: GatewayChange) => void): void;

  /** Checks a gateway's own token. @throws auth.wrong */
  authenticate(tenant: Tenant, id: GatewayId, token: string): Promise<void>;
  /** DDI's GatewayToken: may act as any gateway; an unknown one is registered. @throws auth.wrong */
  authenticateAny(tenant: Tenant, id: GatewayId, gatewayToken: string): Promise<void>;

  seen(tenant: Tenant, id: GatewayId): void;
  /** @throws gateway.unknown */
  get(tenant: Tenant, id: GatewayId): Promise<GatewayRecord>;
  list(tenant: Tenant, query: PageQuery & { selector?: Selector | undefined }): Promise<Page<GatewayRecord>>;
  /** Profile whole, or as a merge patch. @throws request.invalid, quota.exceeded, gateway.unknown */
  putProfile(tenant: Tenant, id: GatewayId, body: unknown, mode: 'replace' | 'merge'): Promise<void>;
  /** DDI's configData. @throws request.invalid, quota.exceeded, gateway.unknown */
  putAttributes(tenant: Tenant, id: GatewayId, change: DdiConfigData): Promise<void>;
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

  const { plugAndPlay, ...enrolment } = createEnrolment({
    ...deps,
    onEnrolled: (tenant, id) => changed({ tenant, id, kind: 'enrolled' }),
  });

  function changed(change: GatewayChange): void {
    for (const listener of listeners) listener(change);
  }

  async function get(tenant: Tenant, id: GatewayId): Promise<GatewayRecord> {
    const record = await repositories.read.gateways.find(tenant, id);
    if (!record) throw unknown(id);
    return withLastSeen(tenant, record);
  }

  /** Reads, changes and writes the profile in one transaction: a report may change it at the same time. */
  async function changeProfile(
    tenant: Tenant,
    id: GatewayId,
    change: (profile: GatewayProfile) => unknown,
  ): Promise<void> {
    const installedChanged = await repositories.write(async (tx) => {
      const record = await tx.gateways.find(tenant, id);
      if (!record) throw unknown(id);
      const parsed = gatewayProfileSchema.safeParse(change(record.profile));
      if (!parsed.success)
        throw new LeonoreError('request.invalid', `the profile is not valid: ${firstIssue(parsed.error)}`);
      const profile: GatewayProfile = { ...checkProfile(parsed.data), reportedAt: now() };
      await tx.gateways.setProfile(tenant, id, profile);
      return installedKey(record.profile.installed) !== installedKey(profile.installed);
    });
    liveness.seen(tenant, id);
    changed({ tenant, id, kind: 'profile', installedChanged });
  }

  function withLastSeen(tenant: Tenant, record: GatewayRecord): GatewayRecord {
    const lastSeenAt = liveness.lastSeen(tenant, record.id);
    return lastSeenAt === undefined ? record : { ...record, lastSeenAt };
  }

  function isGatewayToken(token: string): boolean {
    return gatewayTokenHash !== undefined && sameToken(gatewayTokenHash, hashToken(token));
  }

  return {
    onChange: (listener) => void listeners.push(listener),

    ...enrolment,

    async authenticate(tenant, id, token) {
      const record = await repositories.read.gateways.find(tenant, id);
      if (!record?.tokenHash || !sameToken(record.tokenHash, hashToken(token))) {
        throw new LeonoreError('auth.wrong', 'this token is not the one of that gateway');
      }
    },
    async authenticateAny(tenant, id, gatewayToken) {
      if (!isGatewayToken(gatewayToken)) throw new LeonoreError('auth.wrong', 'this gateway token is not valid');
      await plugAndPlay(tenant, id);
    },

    seen: liveness.seen,
    get,
    async list(tenant, query) {
      const page = await repositories.read.gateways.list(tenant, query);
      return { ...page, items: page.items.map((record) => withLastSeen(tenant, record)) };
    },

    putProfile: (tenant, id, body, mode) =>
      changeProfile(tenant, id, (profile) => (mode === 'merge' ? merged(profile, body) : body)),
    putAttributes: (tenant, id, change) =>
      changeProfile(tenant, id, (profile) => ({
        ...profile,
        attributes: changedAttributes(profile.attributes, change),
      })),
    async patchLabels(tenant, id, patch) {
      const record = await repositories.write(async (tx) => {
        const found = await tx.gateways.find(tenant, id);
        if (!found) throw unknown(id);
        const labels = labelsSchema.safeParse(mergePatch(found.labels, patch));
        if (!labels.success)
          throw new LeonoreError('request.invalid', `the labels are not valid: ${firstIssue(labels.error)}`);
        await tx.gateways.setLabels(tenant, id, checkLabels(labels.data));
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
      if (!removed) throw unknown(id);
      changed({ tenant, id, kind: 'removed' });
    },
    [Symbol.asyncDispose]: () => liveness[Symbol.asyncDispose](),
  };
}

function unknown(id: GatewayId): LeonoreError {
  return new LeonoreError('gateway.unknown', `there is no gateway ${id}; leonore gateway list shows who there is`);
}

function merged(profile: GatewayProfile, patch: unknown): unknown {
  try {
    return mergePatch(profile, patch);
  } catch (error) {
    // The stack ended before the patch did.
    if (error instanceof RangeError)
      throw new LeonoreError('request.invalid', 'the profile is nested too deeply to be one');
    throw error;
  }
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
