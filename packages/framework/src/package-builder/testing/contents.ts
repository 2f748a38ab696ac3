/** For tests: packages as a node describes them, generated. */
import {
  type PackageContents,
  packageContentsSchema,
  type PackageFormat,
  packageFormatSchema,
  type PackageSummary,
  type Sha256,
} from '@leonore/protocol';
import { createHash } from 'node:crypto';
import fc from 'fast-check';

export interface DescribedPackage {
  readonly summary: PackageSummary;
  readonly manifest: PackageContents;
}

const HEADER_BYTES = 700;
const NAMES = ['svm', 'jvm', 'modbus', 'history.ui', 'ui-2', 'a_b'];
const VERSIONS = ['1.0.0', '1.2.28', '2.0.0-rc.1'];

export const sha = (text: string): Sha256 => createHash('sha256').update(text).digest('hex') as Sha256;

const file = fc.record({
  path: fc.constantFrom('bin/app', 'lib/a b.so', 'etc/ä"<&>.json', 'share/😀'),
  mode: fc.constantFrom(0o755, 0o644),
  size: fc.nat(5000),
  sha256: fc.constantFrom('1', '2', '3').map(sha),
});

/** Few contents, so that two packages often share one. */
const component = fc
  .record({
    name: fc.constantFrom(...NAMES),
    version: fc.constantFrom(...VERSIONS),
    replaces: fc.option(fc.constantFrom(...VERSIONS), { nil: undefined }),
    requested: fc.boolean(),
    after: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 }),
    files: fc.uniqueArray(file, { selector: ({ path }) => path, maxLength: 4 }),
    length: fc.integer({ min: 1, max: 10_000 }),
  })
  .map(({ length, replaces, ...rest }) => {
    const contentSha256 = sha(JSON.stringify([rest.name, rest.files]));
    return {
      ...rest,
      action: replaces === undefined ? 'install' : 'update',
      replaces,
      contentSha256,
      segment: { offset: 0, length, sha256: sha(`packed ${contentSha256}`) },
      unpackedSize: rest.files.reduce((sum, { size }) => sum + size, 0),
    };
  });
const kept = fc.record({
  name: fc.constantFrom(...NAMES),
  version: fc.constantFrom(...VERSIONS),
  requested: fc.boolean(),
  after: fc.constant([]),
});

export const describedPackage: fc.Arbitrary<DescribedPackage> = fc
  .record({
    components: fc.uniqueArray(component, { selector: ({ name }) => name, maxLength: 5 }),
    keep: fc.uniqueArray(kept, { selector: ({ name }) => name, maxLength: 3 }),
    format: fc.constantFrom(...packageFormatSchema.options),
    salt: fc.string(),
  })
  .map(({ components, keep, format, salt }) => {
    const brought = new Set(components.map(({ name }) => name));
    return describe(
      components,
      format,
      salt,
      keep.filter(({ name }) => !brought.has(name)),
    );
  });

/** The package of these components, each `PackageComponent` but for where its segment lies. */
export function describe(
  components: readonly { segment: { length: number } }[],
  format: PackageFormat = 'tar.zst',
  salt = '',
  keep: readonly object[] = [],
): DescribedPackage {
  const payloadSize = components.reduce((sum, { segment }) => sum + segment.length, 0);
  const id = `p-${sha(JSON.stringify([components, keep, format, salt])).slice(0, 32)}`;
  const manifest = packageContentsSchema.parse({
    schemaVersion: 1,
    id,
    encoding: format === 'tar.gz' ? 'gzip' : 'zstd',
    gatewayClass: { id: 'linux-any-any', platform: { os: 'linux' } },
    components,
    keep,
    remove: [],
    payloadSize,
  });
  const summary = {
    id: manifest.id,
    format,
    fileName: `${id}.${format}`,
    sha256: sha(id),
    size: HEADER_BYTES + payloadSize,
    headerSize: HEADER_BYTES,
    gatewayClass: 'linux-any-any',
    components: manifest.components.map(({ name, version }) => ({ name, version })),
    createdAt: 1_700_000_000_000,
  };
  return { summary, manifest };
}
