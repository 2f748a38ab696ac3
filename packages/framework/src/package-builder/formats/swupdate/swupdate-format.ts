/**
 * A signed image for an unmodified SWUpdate: `sw-description` and its CMS signature, one script that runs the control
 * scripts in order, and the published gzip segments as archives. What is made here are cpio heads, description, signature and
 * script; the payload is neither read nor copied.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { packageIdOf } from '@leonore/app-package';
import { artifactLabel, type PackageContents, type Segment, type Sha256 } from '@leonore/protocol';
import type { PackagePart } from '../../../repositories/mod.ts';
import { describeComponent } from '../component.ts';
import type { Component, Composition, Format, FormatInput } from '../mod.ts';
import { cpioHead, cpioPadding, cpioTrailer, MAX_CPIO_FILE } from './cpio.ts';
import { buildFolder, renderInstallScript } from './install-script.ts';
import type { SwuSigner } from './signer.ts';
import { renderSwDescription } from './sw-description.ts';

export interface SwupdateFormatOptions {
  /** Absent: this node makes none. */
  readonly signer?: SwuSigner | undefined;
  /** LEONORE's folder on the gateways. */
  readonly root: string;
  /** Hardware revisions that the images are for, as SWUpdate's `hardware-compatibility` has them. */
  readonly hardware: readonly string[];
  readonly now: () => number;
}

export const DEFAULT_SWU_ROOT = '/var/lib/leonore';
/** Any: which board gets what is LEONORE's choice already, by platform and selector. */
export const ANY_HARDWARE = '#RE:^.*$';
const SCRIPT = 'leonore.sh';

export function createSwupdateFormat({ signer, root, hardware, now }: SwupdateFormatOptions): Format {
  const engine = readFileSync(new URL('./leonore.sh', import.meta.url), 'utf8');
  const engineSha256 = sha256Of(engine);

  function idOf({ gatewayClass, components, keep, remove }: FormatInput) {
    const made = { format: 'swu', certificate: signer?.fingerprint, root, hardware, engineSha256 };
    return packageIdOf({ ...made, gatewayClass, components: components.map(contentOf), keep, remove });
  }

  return {
    format: 'swu',
    refusal({ components }) {
      if (!signer) return 'this node has no key to sign it with; start it with --swu-key FILE and --swu-cert FILE';
      if (now() > signer.endsAt)
        return `the certificate that it is signed with ended on ${new Date(signer.endsAt).toISOString()}; renew --swu-cert and start the node again`;
      const image = components.find(({ artifact }) => artifact.manifest.kind === 'image');
      if (image) return `${artifactLabel(image.artifact.manifest)} is an image, which is delivered as it is`;
      const lacking = components.find((component) => !gzipSegment(component));
      if (lacking)
        return `${artifactLabel(lacking.artifact.manifest)} is not published as gzip, which SWUpdate unpacks`;
      const large = components.find((component) => (gzipSegment(component)?.size ?? 0) > MAX_CPIO_FILE);
      return large && `${artifactLabel(large.artifact.manifest)} has more than 4 GiB, which its archive cannot hold`;
    },
    id: idOf,
    compose(input): Composition {
      if (!signer) throw new Error('there is no key to sign with: refusal() says so');
      const { components } = input;
      const id = idOf(input);
      const script = Buffer.from(renderInstallScript(engine, { ...input, id, root }));
      const description = Buffer.from(
        renderSwDescription({
          version: components.at(-1)?.step.version ?? id,
          description: [id, ...components.map(({ step }) => `${step.name} ${step.version}`)].join(', '),
          hardware,
          archives: components.map((component) => ({
            fileName: archiveName(component),
            path: `${root}/components/${component.step.name}/${buildFolder(component)}`,
            sha256: segmentOf(component).sha256,
          })),
          script: { fileName: SCRIPT, sha256: sha256Of(script) },
        }),
      );
      const archive = createArchive();
      archive.add('sw-description', description);
      archive.add('sw-description.sig', signer.sign(description));
      archive.add(SCRIPT, script);
      const offsets = components.map((component) => archive.addBlob(archiveName(component), segmentOf(component)));
      const { own, parts, size } = archive.end();
      return {
        id,
        fileName: `${id}.swu`,
        sha256: sha256Of(own),
        manifest: contents(input, id, offsets),
        own,
        parts,
        headerSize: own.length,
        size,
      };
    },
  };
}

/** Files one after another: own bytes, and blobs between them. */
function createArchive() {
  const own: Buffer[] = [];
  const parts: PackagePart[] = [];
  let pending: Buffer[] = [];
  let size = 0;
  let files = 0;

  function put(...pieces: readonly Buffer[]): void {
    pending.push(...pieces);
    for (const { length } of pieces) size += length;
  }
  function flush(): void {
    const bytes = Buffer.concat(pending);
    pending = [];
    if (bytes.length === 0) return;
    own.push(bytes);
    parts.push({ kind: 'own', length: bytes.length });
  }

  return {
    add(name: string, content: Buffer): void {
      put(cpioHead(name, content.length, ++files), content, cpioPadding(content.length));
    },
    /** Where it lies, bytes from the archive's begin. */
    addBlob(name: string, { sha256, size: length }: Segment): number {
      put(cpioHead(name, length, ++files));
      flush();
      const offset = size;
      parts.push({ kind: 'blob', sha256, length });
      size += length;
      put(cpioPadding(length));
      return offset;
    },
    end(): { own: Buffer; parts: readonly PackagePart[]; size: number } {
      put(cpioTrailer(size));
      flush();
      return { own: Buffer.concat(own), parts, size };
    },
  };
}

/** Offsets count from the end of the first own part, as they do in LEONORE's archives. */
function contents(input: FormatInput, id: Composition['id'], offsets: readonly number[]): PackageContents {
  const begin = offsets[0] ?? 0;
  const components = input.components.map((component, index) => {
    const { size, sha256 } = segmentOf(component);
    const segment = { offset: (offsets[index] ?? 0) - begin, length: size, sha256 };
    return { ...contentOf(component), segment, files: [...component.files] };
  });
  return {
    schemaVersion: 1,
    id,
    encoding: 'gzip',
    gatewayClass: input.gatewayClass,
    components,
    keep: [...input.keep],
    remove: [...input.remove],
    payloadSize: components.reduce((sum, { segment }) => sum + segment.length, 0),
  };
}

function contentOf(component: Component) {
  return { ...describeComponent(component), segment: gzipSegment(component) };
}

function archiveName({ step }: Component): string {
  return `${step.name}.tar.gz`;
}

function gzipSegment({ artifact }: Component): Segment | undefined {
  return artifact.segments.find(({ encoding }) => encoding === 'gzip');
}

function segmentOf(component: Component): Segment {
  const segment = gzipSegment(component);
  if (!segment) throw new Error(`${artifactLabel(component.artifact.manifest)} has no gzip segment: refusal() says so`);
  return segment;
}

function sha256Of(bytes: string | Uint8Array): Sha256 {
  return createHash('sha256').update(bytes).digest('hex') as Sha256;
}
