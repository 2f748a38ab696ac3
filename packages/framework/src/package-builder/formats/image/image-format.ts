/** An opaque image as it was published: one file, delivered untouched to a gateway that installs such files by itself. */
import { packageIdOf } from '@leonore/app-package';
import { artifactLabel, imagePath } from '@leonore/protocol';
import { describeComponent } from '../component.ts';
import type { Component, Composition, Format, FormatInput } from '../mod.ts';

export function createImageFormat(): Format {
  return {
    format: 'image',
    refusal: ({ components, remove }) => imageRefusal(components, remove),
    id: (input) => packageIdOf(describe(input)),
    compose(input): Composition {
      const described = describe(input);
      const id = packageIdOf(described);
      const { sha256, length } = described.component.segment;
      const { component, fileName, encoding, gatewayClass, keep, part } = described;
      return {
        id,
        fileName,
        sha256,
        manifest: {
          schemaVersion: 1,
          id,
          encoding,
          gatewayClass,
          components: [component],
          keep,
          remove: [],
          payloadSize: length,
          part,
        },
        own: Buffer.alloc(0),
        parts: [{ kind: 'blob', sha256, length }],
        headerSize: 0,
        size: length,
      };
    },
  };
}

/** What it cannot do is said of what stands in the way: an image that needs others gone or others beside it. */
function imageRefusal(components: readonly Component[], remove: FormatInput['remove']): string | undefined {
  const other = components.find(({ artifact }) => artifact.manifest.kind !== 'image');
  if (other) return `${artifactLabel(other.artifact.manifest)} is no image`;
  const names = components.map(({ artifact }) => artifactLabel(artifact.manifest));
  if (names.length > 1) return `it carries one image, not ${names.join(' and ')}; roll them out one after the other`;
  const gone = remove.map(({ name, version }) => `${name} ${version}`).join(' and ');
  if (gone !== '')
    return `it removes nothing, and ${gone} would have to go; an image is only ever replaced by its next version`;
  return names.length === 0 ? 'there is no image to deliver' : undefined;
}

function describe({ gatewayClass, components, keep }: FormatInput) {
  const [only] = components;
  const file = only?.artifact.manifest.image?.file;
  const segment = only?.artifact.segments.find(({ encoding }) => encoding === 'raw');
  if (!only || file === undefined || !segment) throw new Error('there is no image to deliver: refusal() says so');
  const { step, artifact } = only;
  const { contentSha256, unpackedSize } = artifact;
  return {
    encoding: 'raw' as const,
    fileName: file,
    gatewayClass,
    component: {
      ...describeComponent(only),
      segment: { offset: 0, length: segment.size, sha256: segment.sha256 },
      // Not the stored list: that goes by content, and the same file may be published under two names.
      files: [{ path: imagePath(step.name, file), mode: 0o644 as const, size: unpackedSize, sha256: contentSha256 }],
    },
    keep: [...keep],
    /** DDI's kind of software module. */
    part: artifact.manifest.image?.part ?? 'os',
  };
}
