import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import {
  type Artifact,
  artifactManifestSchema,
  DEFAULT_TENANT,
  type FileEntry,
  type GatewayProfile,
  gatewayIdSchema,
  gatewayProfileSchema,
  platformSchema,
} from '@leonore/protocol';
import fc from 'fast-check';
import { createSboms } from './sbom-sources.ts';
import type { Sbom } from './sbom.ts';
import { describedPackage, sha } from './testing/contents.ts';

const NOW = Date.UTC(2026, 10, 22);
const officialSchema = new Validation.JsonStrictValidator(Spec.Version.v1dot6);

/** The official schema, and what it cannot say: references that are unique and lead somewhere. */
async function assertValid(sbom: Sbom): Promise<void> {
  assert.equal(await officialSchema.validate(JSON.stringify(sbom)), null);
  const nested = sbom.components.flatMap((one) => [one, ...(one.components ?? [])]);
  const refs = [sbom.metadata.component, ...nested].map((one) => one['bom-ref']);
  assert.equal(new Set(refs).size, refs.length, 'a reference is not unique');
  const known = new Set(refs);
  for (const { ref, dependsOn = [] } of sbom.dependencies) {
    for (const one of [ref, ...dependsOn]) assert.ok(known.has(one), `${one} leads nowhere`);
    assert.ok(!dependsOn.includes(ref), `${ref} depends on itself`);
  }
  for (const { assemblies } of sbom.compositions) for (const one of assemblies) assert.ok(known.has(one));
}

type ManifestInput = Parameters<typeof artifactManifestSchema.parse>[0];

function build(manifest: ManifestInput, files: FileEntry[] = []): Artifact & { files: FileEntry[] } {
  const parsed = artifactManifestSchema.parse(manifest);
  const contentSha256 = sha(JSON.stringify(parsed));
  return {
    manifest: parsed,
    contentSha256,
    unpackedSize: 10,
    fileCount: files.length,
    segments: [],
    publishedAt: 0,
    files,
  };
}

function sbomsOver(published: readonly (Artifact & { files?: FileEntry[] })[]) {
  const artifacts = {
    builds: (_tenant: unknown, name: string, version?: string) =>
      Promise.resolve(published.filter(({ manifest }) => manifest.name === name && manifest.version === version)),
    files: (_tenant: unknown, content: string) =>
      Promise.resolve(published.find(({ contentSha256 }) => contentSha256 === content)?.files ?? []),
  };
  return createSboms({ artifacts, now: () => NOW }, { version: '0.1.0' });
}

const gateway = (profile: Parameters<typeof gatewayProfileSchema.parse>[0]) => {
  return { id: gatewayIdSchema.parse('gw-7'), profile: gatewayProfileSchema.parse(profile) };
};
const WITHOUT_FILES = { files: false };
const WITH_FILES = { files: true };

describe('the bill of materials of a package', () => {
  it('is valid CycloneDX 1.6 whatever the package, with and without files, published builds known or not', () =>
    fc.assert(
      fc.asyncProperty(describedPackage, fc.boolean(), fc.boolean(), async (described, known, files) => {
        const published = described.manifest.components.map(({ name, version, contentSha256 }) => {
          const made = build({ name, version, description: 'ä "x" <&>', platform: { os: 'linux', arch: 'arm64' } });
          return { ...made, contentSha256 };
        });
        const sboms = sbomsOver(known ? published : []);
        const sbom = await sboms.ofPackage(DEFAULT_TENANT, described, { files });
        await assertValid(sbom);
        assert.deepEqual(await sboms.ofPackage(DEFAULT_TENANT, described, { files }), sbom);
        assert.deepEqual(
          sbom.components.map(({ name, version, hashes }) => [name, version, hashes?.[0]?.content]),
          described.manifest.components.map(({ name, version, contentSha256 }) => [name, version, contentSha256]),
        );
        for (const [index, { components }] of sbom.components.entries()) {
          assert.equal(components?.length, files ? described.manifest.components[index]?.files.length : undefined);
        }
      }),
      { numRuns: 50 },
    ));

  it('would not pass with a fault in it', async () => {
    const sbom = await sbomsOver([]).ofGateway(DEFAULT_TENANT, gateway({}), WITHOUT_FILES);
    await assertValid(sbom);
    for (const fault of [{ serialNumber: 'x' }, { more: 1 }, { components: [{ name: 'svm' }] }]) {
      assert.notEqual(await officialSchema.validate(JSON.stringify({ ...sbom, ...fault })), null);
    }
  });

  it('tells documents apart by their serial numbers: by package, and by what they list', () =>
    fc.assert(
      fc.asyncProperty(describedPackage, describedPackage, async (one, other) => {
        fc.pre(one.summary.id !== other.summary.id);
        const sboms = sbomsOver([]);
        const all = await Promise.all([
          sboms.ofPackage(DEFAULT_TENANT, one, WITHOUT_FILES),
          sboms.ofPackage(DEFAULT_TENANT, one, WITH_FILES),
          sboms.ofPackage(DEFAULT_TENANT, other, WITHOUT_FILES),
        ]);
        assert.equal(new Set(all.map(({ serialNumber }) => serialNumber)).size, 3);
      }),
      { numRuns: 20 },
    ));
});

describe('the bill of materials of a gateway', () => {
  const platform = { os: 'linux', arch: 'arm64', libc: 'glibc' };
  const files: FileEntry[] = [{ path: 'binary/svm/svm', mode: 0o755, size: 10, sha256: sha('svm') }];
  const anyArch = build({ name: 'svm', version: '1.2.28', platform: { os: 'linux' } });
  const arm = build(
    { name: 'svm', version: '1.2.28', description: 'Sedona', platform, provides: { sedona: '1.2.28' } },
    files,
  );
  const musl = build({ name: 'svm', version: '1.2.28', platform: { ...platform, libc: 'musl' } });
  const monitor = build({
    name: 'monitor',
    version: '2.0.0',
    requires: { artifacts: { log: '^1' }, capabilities: { sedona: '*' } },
  });
  const sboms = sbomsOver([anyArch, musl, arm, monitor]);
  const installed = [
    { name: 'svm', version: '1.2.28', state: 'running', requested: false },
    { name: 'monitor', version: '2.0.0', state: 'running', requested: true },
    { name: 'log', version: '1.1.0', state: 'installed', requested: false },
  ] as const;

  it('names the build that runs there, its digest and what needs what', async () => {
    const sbom = await sboms.ofGateway(DEFAULT_TENANT, gateway({ ...platform, installed }), WITH_FILES);
    await assertValid(sbom);
    const [svm, , log] = sbom.components;
    assert.equal(svm?.hashes?.[0]?.content, arm.contentSha256);
    assert.equal(
      svm?.purl,
      `pkg:generic/svm@1.2.28?arch=arm64&checksum=sha256:${arm.contentSha256}&libc=glibc&os=linux`,
    );
    assert.equal(svm?.description, 'Sedona');
    assert.deepEqual(
      svm?.components?.map(({ name }) => name),
      ['binary/svm/svm'],
    );
    assert.deepEqual(sbom.dependencies, [
      { ref: 'gateway:gw-7', dependsOn: ['monitor@2.0.0'] },
      { ref: 'svm@1.2.28', dependsOn: [] },
      { ref: 'monitor@2.0.0', dependsOn: ['log@1.1.0', 'svm@1.2.28'] },
      { ref: 'log@1.1.0', dependsOn: [] },
    ]);
    // Nobody published it here: it is listed all the same.
    assert.equal(log?.version, '1.1.0');
    assert.equal(log?.hashes, undefined);
    assert.equal(log?.purl, 'pkg:generic/log@1.1.0');
    assert.equal(sbom.metadata.timestamp, '2026-11-22T00:00:00.000Z');
  });

  it('says whether the gateway told what it has', async () => {
    const silent = await sboms.ofGateway(DEFAULT_TENANT, gateway({}), WITHOUT_FILES);
    await assertValid(silent);
    assert.equal(silent.compositions[0]?.aggregate, 'unknown');
    const empty = await sboms.ofGateway(DEFAULT_TENANT, gateway({ installed: [] }), WITHOUT_FILES);
    await assertValid(empty);
    assert.equal(empty.compositions[0]?.aggregate, 'incomplete');
  });

  it('is valid whatever a gateway reports', () => {
    const word = fc.string({ minLength: 1, maxLength: 20, unit: 'binary' });
    const component = fc.record({
      name: fc.constantFrom('svm', 'monitor', 'log'),
      version: fc.constantFrom('1.2.28', '2.0.0', '0.0.1-rc.1'),
      state: fc.constantFrom('running', 'failed'),
      requested: fc.boolean(),
    });
    const profile: fc.Arbitrary<Partial<GatewayProfile>> = fc.record(
      {
        os: fc.oneof(word, fc.constant('linux')),
        arch: fc.oneof(word, fc.constant('arm64')),
        libc: word,
        hostname: word,
        kernel: word,
        agent: fc.record({ name: word, version: word }),
        installed: fc.array(component, { maxLength: 5 }) as fc.Arbitrary<never[]>,
      },
      { requiredKeys: [] },
    );
    return fc.assert(
      fc.asyncProperty(profile, fc.boolean(), async (reported, withFiles) => {
        const sbom = await sboms.ofGateway(DEFAULT_TENANT, gateway(reported), { files: withFiles });
        await assertValid(sbom);
        const names = new Set((reported.installed ?? []).map(({ name }) => name));
        assert.deepEqual(new Set(sbom.components.map(({ name }) => name)), names);
      }),
      { numRuns: 100 },
    );
  });

  it('says nothing in a purl that would need another form there', () => {
    const words = Object.values(platformSchema.shape).map((shape) => shape.parse('a_b.c-9'));
    for (const word of words) assert.equal(encodeURIComponent(word ?? ''), word);
  });
});
