/**
 * What packages and gateways are made of, looked up in the repositories and written down as software bills of materials.
 * Leaves to others: the form of the document (sbom.ts).
 */
import {
  artifactNameSchema,
  type Artifact,
  type GatewayProfile,
  type PackageComponent,
  type Tenant,
} from '@leonore/protocol';
import { createCatalogue, fittingBuilds } from '../dependency-management/mod.ts';
import type { ArtifactRepository, GatewayRecord, PackageRecord } from '../repositories/mod.ts';
import { createSbom, type Sbom, type SbomPart } from './sbom.ts';

export interface SbomOptions {
  /** Lists the files of each component too. */
  readonly files: boolean;
}

export interface Sboms {
  /** The components that it carries; what it keeps on a gateway is not in it. The same package, the same document. */
  ofPackage(tenant: Tenant, record: Pick<PackageRecord, 'summary' | 'manifest'>, options: SbomOptions): Promise<Sbom>;
  /** What the gateway says is installed. Of a component that nobody published here only its name and version are known. */
  ofGateway(tenant: Tenant, gateway: Pick<GatewayRecord, 'id' | 'profile'>, options: SbomOptions): Promise<Sbom>;
}

export function createSboms(
  deps: { readonly artifacts: Pick<ArtifactRepository, 'builds' | 'files'>; readonly now: () => number },
  options: { readonly version: string },
): Sboms {
  const { artifacts, now } = deps;

  async function packagePart(tenant: Tenant, component: PackageComponent, files: boolean): Promise<SbomPart> {
    const { name, version, contentSha256, segment } = component;
    const builds = await artifacts.builds(tenant, name, version);
    return {
      name,
      version,
      requested: component.requested,
      contentSha256,
      artifact: builds.find((build) => build.contentSha256 === contentSha256),
      files: files ? component.files : undefined,
      needs: component.after,
      facts: {
        action: component.action,
        replaces: component.replaces,
        'install-path': component.installPath,
        'segment-sha256': segment.sha256,
        'segment-size': segment.length,
      },
    };
  }

  /** The build that the resolver gives to such a gateway. */
  async function buildFor(tenant: Tenant, profile: GatewayProfile, name: string, version: string) {
    const published = await artifacts.builds(tenant, name, version);
    const { os, arch, libc, compatibleArchs = [] } = profile;
    const builds = createCatalogue(published, 0).versions(artifactNameSchema.parse(name))[0]?.builds ?? [];
    return fittingBuilds(builds, { platform: { os, arch, libc }, compatibleArchs })[0];
  }

  return {
    async ofPackage(tenant, { summary, manifest }, { files }) {
      const parts = await Promise.all(manifest.components.map((component) => packagePart(tenant, component, files)));
      const { id, format, gatewayClass, size, sha256 } = summary;
      return createSbom({
        toolVersion: options.version,
        madeAt: summary.createdAt,
        serial: `leonore ${tenant} ${id}${files ? ' with files' : ''}`,
        subject: {
          type: format === 'image' ? 'firmware' : 'application',
          ref: id,
          name: id,
          description: `LEONORE package for gateways of the class ${gatewayClass}`,
          facts: { format, 'gateway-class': gatewayClass, size, 'header-sha256': sha256 },
        },
        parts,
        completeness: 'complete',
      });
    },
    async ofGateway(tenant, gateway, { files }) {
      const { installed, os, arch, libc, kernel, hostname, agent } = gateway.profile;
      const found = await Promise.all(
        oncePerName(installed ?? []).map(async (component) => {
          const artifact = await buildFor(tenant, gateway.profile, component.name, component.version);
          return {
            ...component,
            artifact,
            files: artifact && files ? await artifacts.files(tenant, artifact.contentSha256) : undefined,
          };
        }),
      );
      const known = found.flatMap(({ artifact }) => artifact ?? []);
      const parts = found.map(({ name, version, requested, state, artifact, files: entries }) => ({
        name,
        version,
        requested,
        contentSha256: artifact?.contentSha256,
        artifact,
        files: entries,
        needs: artifact ? needsOf(artifact, known) : [],
        facts: { state, 'install-path': artifact?.manifest.installPath },
      }));
      return createSbom({
        toolVersion: options.version,
        madeAt: now(),
        subject: {
          type: 'device',
          ref: `gateway:${gateway.id}`,
          name: gateway.id,
          facts: { os, arch, libc, kernel, hostname, agent: agent && `${agent.name} ${agent.version}` },
        },
        parts,
        // There is more on a gateway than LEONORE put there.
        completeness: installed === undefined ? 'unknown' : 'incomplete',
      });
    },
  };
}

/** A gateway may say the same twice, a document may not. */
function oncePerName<T extends { readonly name: string }>(components: readonly T[]): readonly T[] {
  return [...new Map(components.map((component) => [component.name, component])).values()];
}

/** Names of what an artifact may use: as it declares them, and whoever of these provides a capability that it asks for. */
function needsOf({ manifest: { requires } }: Artifact, known: readonly Artifact[]): readonly string[] {
  const alternatives = (requires.anyOf ?? []).flat();
  const capabilities = [
    ...Object.keys(requires.capabilities),
    ...alternatives.flatMap(({ capability }) => capability ?? []),
  ];
  const providers = known.filter(({ manifest }) =>
    capabilities.some((capability) => Object.hasOwn(manifest.provides, capability)),
  );
  return [
    ...Object.keys(requires.artifacts),
    ...Object.keys(requires.optional ?? {}),
    ...alternatives.flatMap(({ artifact }) => artifact ?? []),
    ...providers.map(({ manifest }) => manifest.name),
  ];
}
