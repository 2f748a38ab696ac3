import {
  gatewayProfileSchema,
  labelsSchema,
  LeonoreError,
  mergePatch,
  type DdiActivateAutoConfirm,
  type DdiConfigData,
  type DdiInstalled,
  type GatewayId,
  type GatewayProfile,
  type InstalledComponent,
  type Page,
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import type { GatewayRecord, PageQuery, Repositories, RepositorySet } from '../repositories/mod.ts';
import { withAttributes } from './attribute-facts.ts';
import { changedAttributes } from './attributes.ts';
import { createEnrolment, type Enrolment } from './enrolment.ts';
import { createLiveness } from './liveness.ts';
import { createPollWatch } from './poll-watch.ts';
import { checkLabels, checkProfile } from './profile-limits.ts';
import { type Patched, patchProfile } from './profile-patch.ts';
import { hashToken, sameToken } from './tokens.ts';

export interface GatewayManagementOptions {
  /** For each tenant a secret with which any gateway may come in by plug and play (DDI's GatewayToken); none = not allowed. */
  readonly gatewayTokens?: ReadonlyMap<Tenant, string> | undefined;
  /** For each tenant the authorities whose certificates let a gateway in under its name; none = not allowed. */
  readonly gatewayAuthorities?: ReadonlyMap<Tenant, readonly string[]> | undefined;
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
  /** The same without seeing it: `holds` tells whether a proof was made with the token's hash. @throws auth.wrong */
  authenticateProof(tenant: Tenant, id: GatewayId, holds: (tokenHash: string) => boolean): Promise<void>;
  /** DDI's GatewayToken: may act as any gateway of the tenant; with `register` an unknown one is made known. @throws auth.wrong */
  authenticateAny(tenant: Tenant, id: GatewayId, gatewayToken: string, register: boolean): Promise<void>;
  /**
   * The gateway's certificate was checked by a proxy that is believed: is one of those that signed it (names, in any case)
   * an authority of the tenant? With `register` an unknown gateway is made known then.
   */
  authenticateSigned(tenant: Tenant, id: GatewayId, signers: readonly string[], register: boolean): Promise<boolean>;

  seen(tenant: Tenant, id: GatewayId): void;
  /** It polled, there was nothing to do, and it was told to come again after so many seconds. How many times too often by now. */
  polled(tenant: Tenant, id: GatewayId, intervalSeconds: number): number;
  /** Its polls within one interval, when these are far too many. */
  hastyPolls(tenant: Tenant, id: GatewayId): number | undefined;
  /** @throws gateway.unknown */
  get(tenant: Tenant, id: GatewayId): Promise<GatewayRecord>;
  list(tenant: Tenant, query: PageQuery & { selector?: Selector | undefined }): Promise<Page<GatewayRecord>>;
  /** Profile whole, or as a merge patch. @throws request.invalid, quota.exceeded, gateway.unknown, profile.base */
  putProfile(tenant: Tenant, id: GatewayId, body: unknown, mode: 'replace' | 'merge'): Promise<void>;
  /** DDI's configData. @throws request.invalid, quota.exceeded, gateway.unknown */
  putAttributes(tenant: Tenant, id: GatewayId, change: DdiConfigData): Promise<void>;
  /** With its next poll the gateway is asked for its attributes, or its profile, as if nothing was known of them. @throws gateway.unknown */
  askAnew(tenant: Tenant, id: GatewayId): Promise<GatewayRecord>;
  /** DDI's installedBase: the gateway says that it runs this. `recorded`: that was not known. @throws artifact.unknown, gateway.unknown */
  putInstalled(tenant: Tenant, id: GatewayId, installed: DdiInstalled): Promise<{ recorded: boolean }>;
  /** From now on it is not asked for its confirmation. @throws gateway.confirms, gateway.unknown */
  activateAutoConfirm(tenant: Tenant, id: GatewayId, by: DdiActivateAutoConfirm): Promise<void>;
  deactivateAutoConfirm(tenant: Tenant, id: GatewayId): Promise<void>;
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
  const gatewayTokenHashes = new Map(
    [...(options.gatewayTokens ?? [])].map(([tenant, token]) => [tenant, hashToken(token)]),
  );
  const authorities = new Map(
    [...(options.gatewayAuthorities ?? [])].map(([tenant, names]) => [tenant, new Set(names.map(lowerCase))]),
  );
  const liveness = createLiveness(deps, { flushIntervalMs: options.livenessFlushIntervalMs });
  const pollWatch = createPollWatch(deps);

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
    change: (profile: GatewayProfile) => Patched,
    also?: (tx: RepositorySet) => Promise<void>,
  ): Promise<void> {
    const { outcome, installedChanged } = await repositories.write(async (tx) => {
      const record = await tx.gateways.find(tenant, id);
      if (!record) throw unknown(id);
      const patched = change(record.profile);
      if (patched.outcome === 'known') return { outcome: 'known', installedChanged: false } as const;
      if (patched.outcome === 'refused') {
        // Without a revision it is asked for with the next poll: over MQTT a refusal is not heard.
        const { revision, ...rest } = record.profile;
        if (revision !== undefined) await tx.gateways.setProfile(tenant, id, rest);
        return { outcome: 'refused', installedChanged: false } as const;
      }
      const parsed = gatewayProfileSchema.safeParse(patched.profile);
      if (!parsed.success)
        throw new LeonoreError('request.invalid', `the profile is not valid: ${firstIssue(parsed.error)}`);
      const profile: GatewayProfile = { ...checkProfile(parsed.data), reportedAt: now() };
      await tx.gateways.setProfile(tenant, id, profile);
      await also?.(tx);
      const installedChanged = installedKey(record.profile.installed) !== installedKey(profile.installed);
      return { outcome: 'merged', installedChanged } as const;
    });
    liveness.seen(tenant, id);
    if (outcome === 'refused')
      throw new LeonoreError('profile.base', `another profile of ${id} is known here; send it whole`);
    if (outcome === 'merged') changed({ tenant, id, kind: 'profile', installedChanged });
  }

  function withLastSeen(tenant: Tenant, record: GatewayRecord): GatewayRecord {
    const lastSeenAt = liveness.lastSeen(tenant, record.id);
    return lastSeenAt === undefined ? record : { ...record, lastSeenAt };
  }

  function isGatewayToken(tenant: Tenant, token: string): boolean {
    const hash = gatewayTokenHashes.get(tenant);
    return hash !== undefined && sameToken(hash, hashToken(token));
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
    async authenticateProof(tenant, id, holds) {
      const record = await repositories.read.gateways.find(tenant, id);
      if (!record?.tokenHash || !holds(record.tokenHash)) {
        throw new LeonoreError('auth.wrong', 'this proof was not made with the token of that gateway');
      }
    },
    async authenticateAny(tenant, id, gatewayToken, register) {
      if (!isGatewayToken(tenant, gatewayToken))
        throw new LeonoreError('auth.wrong', 'this gateway token is not valid');
      if (register) await plugAndPlay(tenant, id);
    },
    async authenticateSigned(tenant, id, signers, register) {
      const trusted = authorities.get(tenant);
      if (!signers.some((signer) => trusted?.has(lowerCase(signer)))) return false;
      if (register) await plugAndPlay(tenant, id);
      return true;
    },

    seen: liveness.seen,
    polled: pollWatch.polled,
    hastyPolls: pollWatch.hasty,
    get,
    async list(tenant, query) {
      const page = await repositories.read.gateways.list(tenant, query);
      return { ...page, items: page.items.map((record) => withLastSeen(tenant, record)) };
    },

    putProfile: (tenant, id, body, mode) =>
      changeProfile(tenant, id, (profile) =>
        mode === 'merge' ? patchProfile(profile, body) : { outcome: 'merged', profile: body },
      ),
    putAttributes: (tenant, id, change) =>
      changeProfile(
        tenant,
        id,
        (profile) => ({
          outcome: 'merged',
          profile: withAttributes(profile, changedAttributes(profile.attributes, change)),
        }),
        (tx) => tx.gateways.setAttributesKnown(tenant, id, true),
      ),
    askAnew: (tenant, id) =>
      repositories.write(async (tx) => {
        const record = await tx.gateways.find(tenant, id);
        if (!record) throw unknown(id);
        const { revision: _, ...profile } = record.profile;
        if (record.origin === 'enrolled') await tx.gateways.setProfile(tenant, id, profile);
        else await tx.gateways.setAttributesKnown(tenant, id, false);
        return { ...record, profile };
      }),
    async putInstalled(tenant, id, { name, version }) {
      const [artifact] = await repositories.read.artifacts.builds(tenant, name, version);
      if (!artifact) throw new LeonoreError('artifact.unknown', `there is no artifact ${name} ${version} here`);
      const told = { name: artifact.manifest.name, version, requested: true };
      let recorded = false;
      await changeProfile(tenant, id, (profile) => {
        const { installed = [] } = profile;
        recorded = !installed.some((one) => one.name === name && one.version === version);
        if (!recorded) return { outcome: 'known' };
        const others = installed.filter((one) => one.name !== name);
        return { outcome: 'merged', profile: { ...profile, installed: [...others, told] } };
      });
      return { recorded };
    },
    async activateAutoConfirm(tenant, id, { initiator, remark }) {
      await get(tenant, id);
      const autoConfirm = { initiator, remark, activatedAt: now() };
      if (!(await repositories.write((tx) => tx.gateways.setAutoConfirm(tenant, id, autoConfirm))))
        throw new LeonoreError('gateway.confirms', `gateway ${id} confirms by itself already`);
    },
    async deactivateAutoConfirm(tenant, id) {
      await get(tenant, id);
      await repositories.write((tx) => tx.gateways.setAutoConfirm(tenant, id, undefined));
    },
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

function lowerCase(text: string): string {
  return text.toLowerCase();
}

function unknown(id: GatewayId): LeonoreError {
  return new LeonoreError('gateway.unknown', `there is no gateway ${id}; leonore gateway list shows who there is`);
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
