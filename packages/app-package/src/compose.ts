/**
 * Composes packages: header and trailer around segments that exist already. Costs the header, whatever the size of the
 * package; no segment is read. Pure. The same input gives the same bytes.
 * Leaves to others: choosing the components, keeping the bytes.
 */
import { createHash } from 'node:crypto';
import {
  packageManifestSchema,
  type FileEntry,
  type PackageComponent,
  type PackageId,
  type PackageManifest,
  type Segment,
  type Sha256,
} from '@leonore/protocol';
import { mismatch } from './archive-fault.ts';
import { withDefaultLimits } from './archive-limits.ts';
import { canonicalJson } from './canonical-json.ts';
import { checkedFiles, type FileMemory } from './checked-files.ts';
import { encodeHeaderSegment } from './header-segment.ts';
import { checkPackageManifest } from './package-rules.ts';
import { HEADER_FILES, headerTexts, type HeaderFile } from './package-texts.ts';
import { encodeTarEntry, tarPadding } from './tar-writer.ts';
import { PACKAGE_TRAILER } from './trailer.ts';

/** A component with the segment it was packed into; where that lies follows from the order. */
export type ComponentToCompose = Omit<PackageComponent, 'segment' | 'files'> & {
  readonly segment: Segment;
  readonly files: readonly FileEntry[];
};

/** A package manifest but for what follows from it. */
export type PackageToCompose = Omit<PackageManifest, 'schemaVersion' | 'payloadSize' | 'components'> & {
  readonly components: readonly ComponentToCompose[];
};

export interface ComposedPackage {
  readonly manifest: PackageManifest;
  readonly header: Buffer;
  /** Names the package: the manifest in the header names the digest of every other byte. */
  readonly headerSha256: Sha256;
  readonly trailer: Buffer;
  /** Bytes of the whole package: header, segments, trailer. */
  readonly size: number;
}

/** `p-` and the first 32 hex digits of the SHA-256 of everything that the package is made of, its id left out. */
export function packageIdOf(input: object): PackageId {
  const content = canonicalJson({ ...input, id: undefined });
  return `p-${createHash('sha256').update(content).digest('hex').slice(0, 32)}` as PackageId;
}

/**
 * `memory`: for who composes many packages of the same builds; files are the most of a header, and looked at once then.
 * @throws LeonoreError `archive.mismatch` when the parts do not fit together
 */
export function composePackage(input: PackageToCompose, memory: FileMemory = new WeakMap()): ComposedPackage {
  const { components, payloadSize } = placeSegments(input);
  const lists = input.components.map((component) => checkedFiles(component, memory));
  const parsed = packageManifestSchema.parse({ ...input, schemaVersion: 1, components, payloadSize });
  const manifest: PackageManifest = {
    ...parsed,
    components: parsed.components.map((component, i) => ({ ...component, files: lists[i]?.entries ?? [] })),
  };
  checkPackageManifest(manifest, withDefaultLimits(), true);
  const written = new Map<object, string>(lists.map(({ entries, json }) => [entries, json]));
  const header = encodeHeaderSegment(manifest.encoding, headerTar(headerTexts(manifest, (part) => written.get(part))));
  const trailer = PACKAGE_TRAILER[manifest.encoding];
  return {
    manifest,
    header,
    headerSha256: createHash('sha256').update(header).digest('hex') as Sha256,
    trailer,
    size: header.length + payloadSize + trailer.length,
  };
}

/** One segment after the other, from the end of the header; their files are left to `checkedFiles`. */
function placeSegments(input: PackageToCompose): { components: PackageComponent[]; payloadSize: number } {
  let payloadSize = 0;
  const components = input.components.map((component) => {
    const { encoding, sha256, size } = component.segment;
    if (encoding !== input.encoding) {
      throw mismatch(`the segment of ${component.name}`, `is ${encoding}, the package ${input.encoding}`);
    }
    const offset = payloadSize;
    payloadSize += size;
    return { ...component, files: [], segment: { offset, length: size, sha256 } };
  });
  return { components, payloadSize };
}

function headerTar(texts: Record<HeaderFile, string>): Buffer {
  return Buffer.concat(
    HEADER_FILES.flatMap((path) => {
      const bytes = Buffer.from(texts[path]);
      const head = encodeTarEntry({ type: 'file', path, mode: 0o644, size: bytes.length });
      return [head, bytes, Buffer.alloc(tarPadding(bytes.length))];
    }),
  );
}
