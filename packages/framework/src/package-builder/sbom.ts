/**
 * Software bills of materials in CycloneDX 1.6 (ECMA-424, https://cyclonedx.org/docs/1.6/json/), written as plain JSON.
 * Pure. Leaves to others: finding out what a package or a gateway is made of (sbom-sources.ts).
 */
import { createHash } from 'node:crypto';
import { platformKey, type Artifact, type FileEntry, type Sha256 } from '@leonore/protocol';

export const SBOM_MEDIA_TYPE = 'application/vnd.cyclonedx+json';

interface Property {
  readonly name: string;
  readonly value: string;
}

interface Component {
  readonly type: 'application' | 'firmware' | 'device' | 'file';
  readonly 'bom-ref'?: string;
  readonly name: string;
  readonly version?: string;
  readonly description?: string;
  readonly hashes?: readonly { readonly alg: 'SHA-256'; readonly content: string }[];
  readonly purl?: string;
  readonly components?: readonly Component[];
  readonly properties?: readonly Property[];
}

/** What LEONORE uses of a CycloneDX document. */
export type Sbom = {
  readonly $schema: string;
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: '1.6';
  readonly serialNumber?: string;
  readonly version: 1;
  readonly metadata: {
    readonly timestamp: string;
    readonly tools: { readonly components: readonly Component[] };
    readonly component: Component;
  };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
  readonly compositions: readonly {
    readonly aggregate: 'complete' | 'incomplete' | 'unknown';
    readonly assemblies: readonly string[];
  }[];
};

/** Facts that CycloneDX has no field for; what is undefined is left out. */
type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

/** What the document is about. */
export interface SbomSubject {
  readonly type: 'application' | 'firmware' | 'device';
  /** Unique among the subjects and no `NAME@VERSION`. */
  readonly ref: string;
  readonly name: string;
  readonly description?: string;
  readonly facts: Facts;
}

export interface SbomPart {
  readonly name: string;
  readonly version: string;
  readonly requested: boolean;
  /** SHA-256 over the build's uncompressed tar. */
  readonly contentSha256?: Sha256 | undefined;
  /** The published build; absent when the repository does not know it. */
  readonly artifact?: Artifact | undefined;
  readonly files?: readonly FileEntry[] | undefined;
  /** Names of what it needs; itself and those that are no part of the document are left out. */
  readonly needs: readonly string[];
  readonly facts: Facts;
}

export interface SbomInput {
  /** Of the node, which makes the document. */
  readonly toolVersion: string;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
  readonly subject: SbomSubject;
  readonly parts: readonly SbomPart[];
  /** Whether `parts` is all that there is. What is inside of a part is never known. */
  readonly completeness: 'complete' | 'incomplete' | 'unknown';
  /** The same text names the same document; absent: the document has no serial number. */
  readonly serial?: string;
}

export function createSbom(input: SbomInput): Sbom {
  const { subject, parts } = input;
  const refs = new Map(parts.map((part) => [part.name, refOf(part)]));
  const dependencies = parts.map((part) => ({ ref: refOf(part), dependsOn: neededBy(part, refs) }));
  const needed = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn));
  const roots = parts.filter((part) => part.requested || !needed.has(refOf(part))).map(refOf);
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    ...(input.serial === undefined ? {} : { serialNumber: `urn:uuid:${uuidOf(input.serial)}` }),
    version: 1,
    metadata: {
      timestamp: new Date(input.madeAt).toISOString(),
      tools: { components: [{ type: 'application', name: 'leonore', version: input.toolVersion }] },
      component: subjectComponent(subject),
    },
    components: parts.map(partComponent),
    dependencies: [{ ref: subject.ref, dependsOn: roots }, ...dependencies],
    compositions: [
      { aggregate: input.completeness, assemblies: [subject.ref] },
      ...(parts.length > 0 ? [{ aggregate: 'unknown' as const, assemblies: parts.map(refOf) }] : []),
    ],
  };
}

const refOf = ({ name, version }: SbomPart): string => `${name}@${version}`;

function neededBy(part: SbomPart, refs: ReadonlyMap<string, string>): string[] {
  const others = new Set(part.needs.filter((name) => name !== part.name));
  return [...others].flatMap((name) => refs.get(name) ?? []);
}

function subjectComponent({ type, ref, name, description, facts }: SbomSubject): Component {
  return {
    type,
    'bom-ref': ref,
    name,
    ...(description === undefined ? {} : { description }),
    properties: propertiesOf(facts),
  };
}

function partComponent(part: SbomPart): Component {
  const { name, version, artifact, contentSha256, files } = part;
  const { kind, description, platform } = artifact?.manifest ?? {};
  return {
    type: kind === 'image' ? 'firmware' : 'application',
    'bom-ref': refOf(part),
    name,
    version,
    ...(description ? { description } : {}),
    ...(contentSha256 === undefined ? {} : { hashes: [{ alg: 'SHA-256', content: contentSha256 }] }),
    purl: purlOf(part),
    ...(files === undefined ? {} : { components: files.map((file) => fileComponent(part, file)) }),
    properties: propertiesOf({
      requested: part.requested,
      platform: platform && platformKey(platform),
      'unpacked-size': artifact?.unpackedSize,
      withdrawn: artifact?.withdrawnAt === undefined ? undefined : true,
      ...part.facts,
    }),
  };
}

function fileComponent(part: SbomPart, { path, sha256, size, mode }: FileEntry): Component {
  return {
    type: 'file',
    'bom-ref': `${refOf(part)}#${path}`,
    name: path,
    hashes: [{ alg: 'SHA-256', content: sha256 }],
    properties: propertiesOf({ size, mode: mode.toString(8) }),
  };
}

/**
 * A package URL (ECMA-427, https://github.com/package-url/purl-spec), qualifiers in order of their keys. The names and
 * versions of artifacts are made of letters that stand for themselves there.
 */
function purlOf({ name, version, artifact, contentSha256 }: SbomPart): string {
  const { os, arch, libc } = artifact?.manifest.platform ?? {};
  const qualifiers = { arch, checksum: contentSha256 && `sha256:${contentSha256}`, libc, os };
  const query = Object.entries(qualifiers).flatMap(([key, value]) => (value === undefined ? [] : `${key}=${value}`));
  return `pkg:generic/${name}@${version}${query.length > 0 ? `?${query.join('&')}` : ''}`;
}

function propertiesOf(facts: Facts): Property[] {
  return Object.entries(facts).flatMap(([key, value]) =>
    value === undefined ? [] : { name: `leonore:${key}`, value: String(value) },
  );
}

/** A UUID of version 8 (RFC 9562) out of a SHA-256. */
function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest();
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
