/**
 * One plan and one package for each gateway class: gateways with the same platform, capabilities, installed set and
 * wanted set share them, however many they are.
 */
import {
  isLeonoreError,
  platformSchema,
  type Explanation,
  type GatewayProfile,
  type PackageId,
  type Resolution,
  type Tenant,
} from '@leonore/protocol';
import {
  createCatalogue,
  gatewayClassKey,
  resolve,
  type Catalogue,
  type ResolveRequest,
} from '../dependency-management/mod.ts';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { GatewayRecord, PackageRecord, Repositories } from '../repositories/mod.ts';
import { wantedApplications, type RolloutChange } from './wanted.ts';

export type ClassPlan =
  | { readonly kind: 'package'; readonly classKey: string; readonly package: PackageId }
  /** The gateway has everything already. */
  | { readonly kind: 'nothing'; readonly classKey: string }
  | { readonly kind: 'blocked'; readonly classKey: string; readonly explanation: Explanation };

export interface Planner {
  plan(tenant: Tenant, gateway: GatewayRecord, change: RolloutChange): Promise<ClassPlan>;
  /** The answer without building anything. */
  resolve(tenant: Tenant, gateway: GatewayRecord, change: RolloutChange): Promise<Resolution>;
  /** What a plan depends on: as long as it stays the same, so does the gateway's plan. */
  classKey(gateway: GatewayRecord, change: RolloutChange): string;
  /** False when a component of the package was withdrawn since. */
  stillOffered(tenant: Tenant, record: PackageRecord): Promise<boolean>;
}

export function createPlanner(
  deps: { repositories: Repositories; builder: PackageBuilder },
  options: { keptPlans: number },
): Planner {
  const { repositories, builder } = deps;
  const catalogues = new Map<Tenant, { revision: number; catalogue: Promise<Loaded> }>();
  const plans = new Map<string, Promise<ClassPlan>>();

  interface Loaded {
    readonly catalogue: Catalogue;
    readonly withdrawn: ReadonlySet<string>;
  }

  async function load(tenant: Tenant): Promise<Loaded & { revision: number }> {
    const revision = await repositories.read.artifacts.revision(tenant);
    const known = catalogues.get(tenant);
    if (known?.revision === revision) return { ...(await known.catalogue), revision };
    const catalogue = read(tenant, revision);
    catalogues.set(tenant, { revision, catalogue });
    catalogue.catch(() => catalogues.delete(tenant));
    return { ...(await catalogue), revision };
  }

  async function read(tenant: Tenant, revision: number): Promise<Loaded> {
    const artifacts = await repositories.read.artifacts.all(tenant);
    const withdrawn = artifacts.filter((artifact) => artifact.withdrawnAt !== undefined);
    return {
      catalogue: createCatalogue(artifacts, revision),
      withdrawn: new Set(withdrawn.map(({ manifest }) => `${manifest.name}@${manifest.version}`)),
    };
  }

  async function makePlan(
    tenant: Tenant,
    gateway: GatewayRecord,
    request: ResolveRequest,
    classKey: string,
  ): Promise<ClassPlan> {
    const { catalogue } = await load(tenant);
    const resolution = resolve(request, catalogue);
    if (resolution.outcome === 'unsatisfiable')
      return { kind: 'blocked', classKey, explanation: resolution.explanation };
    const { plan } = resolution;
    if (plan.remove.length === 0 && plan.steps.every((step) => step.action === 'keep'))
      return { kind: 'nothing', classKey };
    try {
      const { summary } = await builder.build(tenant, {
        platform: request.platform,
        encodings: gateway.profile.encodings,
        plan,
        artifact: (step) => catalogue.find(step),
      });
      return { kind: 'package', classKey, package: summary.id };
    } catch (error) {
      // What no second try would change concerns this class alone: the others get their packages.
      if (!isLeonoreError(error) || error.retryable) throw error;
      return { kind: 'blocked', classKey, explanation: { summary: error.message, facts: [], suggestions: [] } };
    }
  }

  const classKeyOf = (gateway: GatewayRecord, request: ResolveRequest) =>
    `${gatewayClassKey(request)}/${gateway.profile.encodings.join('+')}`;

  return {
    async plan(tenant, gateway, change) {
      const request = resolveRequest(gateway, change);
      const classKey = classKeyOf(gateway, request);
      const { revision } = await load(tenant);
      const key = `${tenant}/${revision}/${classKey}`;
      const known = plans.get(key);
      if (known) return known;
      const made = makePlan(tenant, gateway, request, classKey);
      plans.set(key, made);
      made.catch(() => plans.delete(key));
      for (const oldest of plans.keys()) {
        if (plans.size <= options.keptPlans) break;
        plans.delete(oldest);
      }
      return made;
    },
    async resolve(tenant, gateway, change) {
      const { catalogue } = await load(tenant);
      return resolve(resolveRequest(gateway, change), catalogue);
    },
    classKey: (gateway, change) => classKeyOf(gateway, resolveRequest(gateway, change)),
    async stillOffered(tenant, record) {
      const { withdrawn } = await load(tenant);
      return !record.summary.components.some(({ name, version }) => withdrawn.has(`${name}@${version}`));
    },
  };
}

function resolveRequest(gateway: GatewayRecord, change: RolloutChange): ResolveRequest {
  const { profile } = gateway;
  return {
    platform: platformOf(profile),
    capabilities: profile.capabilities,
    resources: resourcesOf(profile),
    applications: wantedApplications(gateway, change),
    installed: (profile.installed ?? []).map(({ name, version, requested }) => ({ name, version, requested })),
    upgrade: change.upgrade,
  };
}

/** A word that no build can be published for says nothing: such a gateway gets what runs anywhere. */
function platformOf({ os, arch, libc }: GatewayProfile): ResolveRequest['platform'] {
  const known = Object.entries({ os, arch, libc }).filter(
    ([key, word]) => word !== undefined && platformSchema.safeParse({ [key]: word }).success,
  );
  return platformSchema.parse(Object.fromEntries(known));
}

/** Rounded down to a power of two, so that gateways of a kind stay one class though each has a little more or less free. */
function resourcesOf({ memory, disk }: GatewayProfile): NonNullable<ResolveRequest['resources']> {
  const coarse = (bytes: number) => (bytes < 1 ? 0 : 2 ** Math.floor(Math.log2(bytes)));
  return {
    ...(memory === undefined ? {} : { memory: memory.total }),
    ...(disk === undefined ? {} : { disk: coarse(disk.free) }),
  };
}
