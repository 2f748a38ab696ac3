/** Answers about the graph of artifacts together with what runs: who has a version, who asks for it, who needs it. */
import {
  type ArtifactName,
  type ArtifactNeeds,
  type ArtifactUsage,
  LeonoreError,
  type Tenant,
} from '@leonore/protocol';
import semver from 'semver';
import { bringsIn, type Catalogue, createPacer, dependentsOf } from '../dependency-management/mod.ts';
import type { Repositories } from '../repositories/mod.ts';
import type { Planner } from './planner.ts';

export interface ArtifactGraph {
  /** Of every version, or of those in a range (pre-releases as their order says). @throws artifact.unknown */
  usage(
    tenant: Tenant,
    name: ArtifactName,
    options: { range?: string | undefined; transitive: boolean },
  ): Promise<ArtifactUsage>;
  /** @throws artifact.unknown */
  needs(tenant: Tenant, name: ArtifactName, version: string): Promise<ArtifactNeeds>;
}

const MAX_EXAMPLES = 20;
const MAX_DEPENDENTS = 1000;

export function createArtifactGraph(deps: {
  repositories: Repositories;
  planner: Pick<Planner, 'catalogue'>;
}): ArtifactGraph {
  const { repositories, planner } = deps;
  const pacer = createPacer();

  async function runningRollouts(tenant: Tenant, asks: (range: string) => boolean, name: ArtifactName) {
    const running = await repositories.read.rollouts.inStates(['running']);
    return running.filter(
      (one) =>
        one.tenant === tenant && one.rollout.applications.some((asked) => asked.name === name && asks(asked.range)),
    ).length;
  }

  return {
    async usage(tenant, name, { range, transitive }) {
      const [catalogue, everywhere] = await Promise.all([
        planner.catalogue(tenant),
        repositories.read.gateways.installedVersions(tenant, name),
      ]);
      const published = catalogue.versions(name);
      if (published.length === 0 && everywhere.length === 0) throw unknown(catalogue, name);
      const { ranges } = catalogue;
      const inRange = (version: string) => range === undefined || ranges.covers(new semver.SemVer(version), range);
      const installed = everywhere.filter(({ version }) => inRange(version));
      const byCount = installed.toSorted((a, b) => b.gateways - a.gateways).map(({ version }) => version);
      const asked = [...byCount, ...published.map(({ version }) => version).filter(inRange)];
      const asks = (wanted: string) =>
        range === undefined || asked.some((version) => ranges.fits(new semver.SemVer(version), wanted));
      const [examples, rollouts] = await Promise.all([
        repositories.read.gateways.gatewaysRunning(tenant, name, byCount, MAX_EXAMPLES),
        runningRollouts(tenant, asks, name),
      ]);
      const dependents = await pacer.run(dependentsOf(catalogue, name, { range, transitive }));
      return {
        name,
        ...(range === undefined ? {} : { range }),
        gateways: installed.reduce((sum, { gateways }) => sum + gateways, 0),
        versions: installed
          .toSorted((a, b) => semver.rcompare(a.version, b.version))
          .map((one) => ({ ...one, state: stateOf(catalogue, name, one.version) })),
        examples: [...examples],
        rollouts,
        dependents: dependents.slice(0, MAX_DEPENDENTS),
        moreDependents: Math.max(0, dependents.length - MAX_DEPENDENTS),
      };
    },
    async needs(tenant, name, version) {
      const catalogue = await planner.catalogue(tenant);
      const found = await pacer.run(bringsIn(catalogue, name, version));
      if (!found) throw unknown(catalogue, name, version);
      return found;
    },
  };
}

function stateOf(catalogue: Catalogue, name: string, version: string): ArtifactUsage['versions'][number]['state'] {
  const found = catalogue.versions(name).find((entry) => entry.version === version);
  if (!found) return 'unknown';
  return found.builds.some(({ withdrawnAt }) => withdrawnAt === undefined) ? 'published' : 'withdrawn';
}

function unknown(catalogue: Catalogue, name: string, version?: string): LeonoreError {
  const versions = catalogue.versions(name).map((entry) => entry.version);
  return new LeonoreError(
    'artifact.unknown',
    versions.length > 0
      ? `${name} has no version ${version}; it has ${versions.slice(0, 10).join(', ')}`
      : `there is no artifact ${name}; leonore artifact list shows what there is`,
  );
}
