/**
 * LEONORE's own archive, `.tar.gz` or `.tar.zst`: a header and a trailer around segments that were packed when their
 * builds were published.
 */
import { composePackage, packageIdOf, type FileMemory, type PackageToCompose } from '@leonore/app-package';
import { artifactLabel, type Artifact, type Encoding, type PackageId, type Segment } from '@leonore/protocol';
import { describeComponent } from '../component.ts';
import type { Component, Composition, Format, FormatInput } from '../mod.ts';

const FORMAT = { gzip: 'tar.gz', zstd: 'tar.zst' } as const satisfies Record<Encoding, string>;

/** In both compressions, the better one first. */
export function createArchiveFormats(): readonly Format[] {
  const memory: FileMemory = new WeakMap();
  return [createArchiveFormat('zstd', memory), createArchiveFormat('gzip', memory)];
}

function createArchiveFormat(encoding: Encoding, memory: FileMemory): Format {
  const format = FORMAT[encoding];

  function describe({ gatewayClass, components, keep, remove }: FormatInput) {
    return {
      encoding,
      gatewayClass,
      components: components.map((component) => componentToCompose(component, encoding)),
      keep: [...keep],
      remove: [...remove],
    };
  }

  return {
    format,
    refusal({ components }) {
      const image = components.find(({ artifact }) => artifact.manifest.kind === 'image');
      if (image)
        return `${artifactLabel(image.artifact.manifest)} is an image, which only gateways of other makers install`;
      const lacking = components.find(({ artifact }) => !segmentOf(artifact, encoding));
      return (
        lacking &&
        `${artifactLabel(lacking.artifact.manifest)} is published as ${lacking.artifact.segments.map((s) => s.encoding).join(' and ')} only`
      );
    },
    id: (input) => idOf(describe(input)),
    compose(input): Composition {
      const described = describe(input);
      const id = idOf(described);
      const { header, trailer, headerSha256, manifest, size } = composePackage({ id, ...described }, memory);
      return {
        id,
        fileName: `${id}.${format}`,
        sha256: headerSha256,
        encoding,
        manifest,
        own: Buffer.concat([header, trailer]),
        parts: [
          { kind: 'own', length: header.length },
          ...manifest.components.map(({ segment }) => ({
            kind: 'blob' as const,
            sha256: segment.sha256,
            length: segment.length,
          })),
          { kind: 'own', length: trailer.length },
        ],
        headerSize: header.length,
        size,
      };
    },
  };
}

/** What a component's files are, its content's digest says. */
function idOf(described: Omit<PackageToCompose, 'id'>): PackageId {
  return packageIdOf({ ...described, components: described.components.map(({ files: _files, ...rest }) => rest) });
}

function componentToCompose({ step, artifact, files }: Component, encoding: Encoding) {
  const segment = segmentOf(artifact, encoding);
  if (!segment) throw new Error(`${artifactLabel(artifact.manifest)} has no ${encoding} segment: refusal() says so`);
  return { ...describeComponent({ step, artifact }), segment, files };
}

function segmentOf(artifact: Artifact, encoding: Encoding): Segment | undefined {
  return artifact.segments.find((segment) => segment.encoding === encoding);
}
