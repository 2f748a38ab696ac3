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
  createAnswers,
  createPacer,
  gatewayClassKey,
  updatingCatalogue,
  type Answer,
  type Answers,
  type AnswersOptions,
  type Catalogue,
  type ResolveRequest,
} from '../dependency-management/mod.ts';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { ArtifactRepository, GatewayRecord, PackageRecord } from '../repositories/mod.ts';
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
  /** Every published build as it is now. */
  catalogue(tenant: Tenant): Promise<Catalogue>;
  /** What a plan depends on: as long as it stays the same, so does the gateway's plan. */
  classKey(gateway: GatewayRecord, change: RolloutChange): string;
  /** False when a component of the package was withdrawn since. */
  stillOffered(tenant: Tenant, record: PackageRecord): Promise<boolean>;
}

export function createPlanner(
  deps: {
    repositories: { readonly read: { readonly artifacts: Pick<ArtifactRepository, 'all' | 'revision'> } };
    builder: Pick<PackageBuilder, 'build'>;
  },
  options: { keptPlans: number } & Pick<AnswersOptions, 'onSolve'>,
): Planner {
  const { repositories, builder } = deps;
  // One for all that is long, so that together it takes no longer turns than one of them.
  const pacer = createPacer();
  const answers: Answers = createAnswers({ ...options, keep: options.keptPlans, pacer });
  const catalogues = new Map<Tenant, { revision: number; catalogue: Promise<Loaded> }>();
  /** Good for as long as the answer it was made of. */
  const plans = new Map<string, { readonly answer: Answer; readonly plan: Promise<ClassPlan> }>();

  interface Loaded {
    readonly catalogue: Catalogue;
    readonly withdrawn: ReadonlySet<string>;
  }

  const reading = new Map<Tenant, Promise<number>>();
  /** Asked for by a page of gateways at once, it is read once. Who asks later reads it anew: it may have risen. */
  function readRevision(tenant: Tenant): Promise<number> {
    const begun = reading.get(tenant);
    if (begun) return begun;
    const read = repositories.read.artifacts.revision(tenant);
    reading.set(tenant, read);
    queueMicrotask(() => reading.delete(tenant));
    return read;
  }

  async function load(tenant: Tenant): Promise<Loaded & { revision: number }> {
    const revision = await readRevision(tenant);
    const known = catalogues.get(tenant);
    if (known?.revision === revision) return { ...(await known.catalogue), revision };
    const catalogue = read(tenant, revision, known?.catalogue);
    catalogues.set(tenant, { revision, catalogue });
    catalogue.catch(() => catalogues.get(tenant)?.catalogue === catalogue && catalogues.delete(tenant));
    return { ...(await catalogue), revision };
  }

  async function read(tenant: Tenant, revision: number, last: Promise<Loaded> | undefined): Promise<Loaded> {
    const before = await last?.catch(() => undefined);
    const artifacts = await repositories.read.artifacts.all(tenant);
    const withdrawn = artifacts.filter((artifact) => artifact.withdrawnAt !== undefined);
    return {
      catalogue: await pacer.run(updatingCatalogue(before?.catalogue, artifacts, revision)),
      withdrawn: new Set(withdrawn.map(({ manifest }) => `${manifest.name}@${manifest.version}`)),
    };
  }

  async function makePlan(
    tenant: Tenant,
    gateway: GatewayRecord,
    request: ResolveRequest,
    classKey: string,
    { resolution }: Answer,
    catalogue: Catalogue,
  ): Promise<ClassPlan> {
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

  const withEncodings = (requestKey: string, { profile }: GatewayRecord) =>
    `${requestKey}/${profile.encodings.join('+')}`;

  return {
    async plan(tenant, gateway, change) {
      const request = resolveRequest(gateway, change);
      const requestKey = gatewayClassKey(request);
      const classKey = withEncodings(requestKey, gateway);
      const { catalogue } = await load(tenant);
      const answer = await answers.find(`${tenant}/${requestKey}`, request, catalogue);
      const key = `${tenant}/${classKey}`;
      const known = plans.get(key);
      if (known?.answer === answer) return known.plan;
      const made = { answer, plan: makePlan(tenant, gateway, request, classKey, answer, catalogue) };
      plans.delete(key);
      plans.set(key, made);
      made.plan.catch(() => plans.get(key) === made && plans.delete(key));
      for (const oldest of plans.keys()) {
        if (plans.size <= options.keptPlans) break;
        plans.delete(oldest);
      }
      return made.plan;
    },
    async resolve(tenant, gateway, change) {
      const request = resolveRequest(gateway, change);
      const { catalogue } = await load(tenant);
      return (await answers.find(`${tenant}/${gatewayClassKey(request)}`, request, catalogue)).resolution;
    },
    catalogue: async (tenant) => (await load(tenant)).catalogue,
    classKey: (gateway, change) => withEncodings(gatewayClassKey(resolveRequest(gateway, change)), gateway),
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
    compatibleArchs: compatibleArchsOf(profile),
    capabilities: profile.capabilities,
    resources: resourcesOf(profile),
    applications: wantedApplications(gateway, change),
    installed: (profile.installed ?? []).map(({ name, version, requested }) => ({ name, version, requested })),
    upgrade: change.upgrade,
  };
}

/** A word that no build can be published for says nothing: such a gateway gets what runs anywhere. */
export function platformOf({ os, arch, libc }: GatewayProfile): ResolveRequest['platform'] {
  const known = Object.entries({ os, arch, libc }).filter(
    ([key, word]) => word !== undefined && platformSchema.safeParse({ [key]: word }).success,
  );
  return platformSchema.parse(Object.fromEntries(known));
}

function compatibleArchsOf({ arch, compatibleArchs = [] }: GatewayProfile): readonly string[] {
  const known = compatibleArchs.filter((word) => platformSchema.safeParse({ arch: word }).success);
  return [...new Set(known)].filter((word) => word !== arch);
}

/** Rounded down to a power of two, so that gateways of a kind stay one class though each has a little more or less free. */
function resourcesOf({ memory, disk }: GatewayProfile): NonNullable<ResolveRequest['resources']> {
  const coarse = (bytes: number) => (bytes < 1 ? 0 : 2 ** Math.floor(Math.log2(bytes)));
  return {
    ...(memory === undefined ? {} : { memory: memory.total }),
    ...(disk === undefined ? {} : { disk: coarse(disk.free) }),
  };
}
