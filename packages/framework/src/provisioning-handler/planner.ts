/**
 * One plan and one package for each gateway class: gateways with the same platform, capabilities, installed set and
 * wanted set share them, however many they are, unless some have too little memory or disk for what the others get.
 */
import {
  isLeonoreError,
  platformSchema,
  type Artifact,
  type Explanation,
  type GatewayProfile,
  type PackageId,
  type Resolution,
  type Tenant,
} from '@leonore/protocol';
import {
  createAnswers,
  createPacer,
  createSlicingSolver,
  fittingBuilds,
  gatewayClassKey,
  updatingCatalogue,
  weightOf,
  type Answer,
  type AnswersOptions,
  type Catalogue,
  type ResolveRequest,
  type Runs,
  type Solver,
} from '../dependency-management/mod.ts';
import { packageFormatsOf, type PackageBuilder } from '../package-builder/mod.ts';
import type { ArtifactRepository, GatewayRecord, PackageRecord } from '../repositories/mod.ts';
import { wantedApplications, type RolloutChange } from './wanted.ts';

export type ClassPlan =
  | { readonly kind: 'package'; readonly classKey: string; readonly package: PackageId }
  /** The gateway has everything already. */
  | { readonly kind: 'nothing'; readonly classKey: string }
  | { readonly kind: 'blocked'; readonly classKey: string; readonly explanation: Explanation };

export interface Planner {
  plan(tenant: Tenant, gateway: GatewayRecord, change: RolloutChange): Promise<ClassPlan>;
  /** The answer without building anything, in the gateway's own figures. */
  resolve(tenant: Tenant, gateway: GatewayRecord, change: RolloutChange): Promise<Resolution>;
  /** The answer for the gateway and for others of its class, as far as it holds. */
  resolveClass(tenant: Tenant, gateway: GatewayRecord, change: RolloutChange): Promise<Answer>;
  /** Every published build as it is now. */
  catalogue(tenant: Tenant): Promise<Catalogue>;
  /** What a plan depends on beside the catalogue and how much memory and disk the gateway has. */
  classKey(gateway: GatewayRecord, change: RolloutChange): string;
  /** False when a component of the package was withdrawn since, or the gateway has no room for it any more. */
  stillGood(tenant: Tenant, gateway: GatewayRecord, record: PackageRecord): Promise<boolean>;
  /** Packages of plans that were given are not there any more: asked again, they are made again. */
  forgetPackages(): void;
}

/** A catalogue is read again at once when something was published meanwhile, but not for ever. */
const MOST_READINGS = 3;

export function createPlanner(
  deps: {
    repositories: { readonly read: { readonly artifacts: Pick<ArtifactRepository, 'all' | 'revision'> } };
    builder: Pick<PackageBuilder, 'build'>;
    /** Absent: this thread, a slice at a time. */
    solver?: Solver;
  },
  options: { keptPlans: number } & Pick<AnswersOptions, 'onSolve'>,
): Planner {
  const { repositories, builder } = deps;
  // One for all that is long, so that together it takes no longer turns than one of them.
  const pacer = createPacer();
  const solver = deps.solver ?? createSlicingSolver(pacer);
  const answers = createAnswers({ ...options, keep: options.keptPlans, solver });
  const catalogues = new Map<Tenant, { revision: number; loaded: Promise<Loaded> }>();
  /** By formats; good for as long as the answer they were made of. */
  let plans = new WeakMap<Answer, Map<string, Promise<ClassPlan>>>();

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

  async function load(tenant: Tenant): Promise<Loaded> {
    const revision = await readRevision(tenant);
    const known = catalogues.get(tenant);
    if (known?.revision === revision) return known.loaded;
    const loading = { revision, loaded: read(tenant, revision, known?.loaded) };
    catalogues.set(tenant, loading);
    try {
      const loaded = await loading.loaded;
      loading.revision = loaded.catalogue.revision;
      return loaded;
    } catch (error) {
      if (catalogues.get(tenant) === loading) catalogues.delete(tenant);
      throw error;
    }
  }

  async function read(tenant: Tenant, asked: number, last: Promise<Loaded> | undefined): Promise<Loaded> {
    const before = await last?.catch(() => undefined);
    const { artifacts: stored } = repositories.read;
    // It is read in pages: what is published between two of them may need what the first would have shown.
    let revision = asked;
    let artifacts = await stored.all(tenant);
    for (let readings = 1; readings < MOST_READINGS; readings++) {
      const now = await stored.revision(tenant);
      if (now === revision) break;
      revision = now;
      artifacts = await stored.all(tenant);
    }
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
        formats: packageFormatsOf(gateway),
        plan,
        artifact: (step) => catalogue.find(step),
        replaced: ({ name, from }) => installedBuild(catalogue, name, from, request),
      });
      return { kind: 'package', classKey, package: summary.id };
    } catch (error) {
      // What no second try would change concerns this class alone: the others get their packages.
      if (!isLeonoreError(error) || error.retryable) throw error;
      return { kind: 'blocked', classKey, explanation: { summary: error.message, facts: [], suggestions: [] } };
    }
  }

  async function find(tenant: Tenant, request: ResolveRequest): Promise<{ answer: Answer; catalogue: Catalogue }> {
    const { catalogue } = await load(tenant);
    return { answer: await answers.find(tenant, gatewayClassKey(request), request, catalogue), catalogue };
  }

  return {
    async plan(tenant, gateway, change) {
      const request = resolveRequest(gateway, change);
      const { answer, catalogue } = await find(tenant, request);
      const made = plans.get(answer) ?? new Map<string, Promise<ClassPlan>>();
      plans.set(answer, made);
      const formats = packageFormatsOf(gateway).join('+');
      const known = made.get(formats);
      if (known) return known;
      const plan = makePlan(tenant, gateway, request, classKeyOf(request, gateway), answer, catalogue);
      made.set(formats, plan);
      plan.catch(() => made.delete(formats));
      return plan;
    },
    async resolve(tenant, gateway, change) {
      const request = resolveRequest(gateway, change);
      const { answer, catalogue } = await find(tenant, request);
      if (!tellsOfOthers(answer, request)) return answer.resolution;
      const { memory, disk } = request.resources ?? {};
      const key = `${gatewayClassKey(request)}/${memory}/${disk}`;
      return (await answers.find(tenant, key, request, catalogue)).resolution;
    },
    resolveClass: async (tenant, gateway, change) => (await find(tenant, resolveRequest(gateway, change))).answer,
    catalogue: async (tenant) => (await load(tenant)).catalogue,
    classKey: (gateway, change) => classKeyOf(resolveRequest(gateway, change), gateway),
    forgetPackages() {
      plans = new WeakMap();
    },
    async stillGood(tenant, { profile }, { manifest: { components, keep } }) {
      const { catalogue, withdrawn } = await load(tenant);
      if (components.some(({ name, version }) => withdrawn.has(`${name}@${version}`))) return false;
      const runs = { platform: platformOf(profile), compatibleArchs: compatibleArchsOf(profile) };
      const parts = [
        ...components.map((one) => ({ artifact: catalogue.find(one), installed: false })),
        ...keep.map(({ name, version }) => ({
          artifact: installedBuild(catalogue, name, version, runs),
          installed: true,
        })),
      ];
      const has = resourcesOf(profile);
      return (['memory', 'disk'] as const).every(
        (resource) => parts.reduce((sum, part) => sum + weightOf(part, resource), 0) <= (has[resource] ?? Infinity),
      );
    },
  };
}

function classKeyOf(request: ResolveRequest, gateway: GatewayRecord): string {
  return `${gatewayClassKey(request)}/${packageFormatsOf(gateway).join('+')}`;
}

/** The build that the gateway most likely has, as it says no more than the version. */
function installedBuild(
  catalogue: Catalogue,
  name: string,
  version: string | undefined,
  runs: Runs,
): Artifact | undefined {
  const there = catalogue.versions(name).find((entry) => entry.version === version);
  return there && fittingBuilds(there.builds, runs)[0];
}

/** True when the answer speaks of how much another gateway of the class has. */
function tellsOfOthers({ resolution, foundFor }: Answer, { resources }: ResolveRequest): boolean {
  if (resolution.outcome === 'plan' || !resolution.explanation.facts.some(({ kind }) => kind === 'resource'))
    return false;
  return foundFor?.memory !== resources?.memory || foundFor?.disk !== resources?.disk;
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

/** Bytes: what an application may count on. */
export function resourcesOf({
  memory,
  disk,
}: Pick<GatewayProfile, 'memory' | 'disk'>): NonNullable<ResolveRequest['resources']> {
  return {
    ...(memory === undefined ? {} : { memory: memory.total }),
    ...(disk === undefined ? {} : { disk: disk.free }),
  };
}
